import { parseMailAddress } from '../../shared/model/mail-address.js';
import type { NotifyRules } from '../../shared/model/pipeline.js';
import { newsKinds } from '../../shared/model/project.js';
import type { Findings } from './findings.js';
import { find, type Located, type LocatedScalar, type Path } from './located.js';
import type { Pipeline } from './schema.js';
import { quoted } from './words.js';

/** Each of them is told of each run. */
const mostTargets = 50;

interface Planning {
  readonly pipeline: Pipeline;
  readonly root: Located;
  readonly findings: Findings;
}

/** What `notify` says, complete; undefined without it. Reports what is not exactly one address. */
export function planNotify({ pipeline, root, findings }: Planning): NotifyRules | undefined {
  const { notify } = pipeline;
  if (notify === undefined) return undefined;
  const isShort = typeof notify === 'string' || Array.isArray(notify);
  const mail = scalarsAt(root, isShort ? ['notify'] : ['notify', 'mail']);
  const webhooks = scalarsAt(root, ['notify', 'webhooks']);
  if (mail.length + webhooks.length > mostTargets) {
    const range = find(root, ['notify'])?.range ?? root.range;
    findings.error(range, `${mail.length + webhooks.length} targets: at most ${mostTargets}`);
  }
  const when = isShort || notify.on === undefined ? newsKinds : [notify.on].flat();
  return {
    when: [...new Set(when)],
    mail: [...new Set(mail.flatMap((scalar) => address(scalar, findings)))],
    webhooks: [...new Set(webhooks.map((scalar) => scalar.text))],
  };
}

function address({ text, range }: LocatedScalar, findings: Findings): readonly string[] {
  const parsed = parseMailAddress(text);
  if (parsed !== undefined) return [parsed];
  const hint = /[,;]|\s/.test(text.trim())
    ? 'one address each, without a name: `mail: [ada@example.org, bob@example.org]`'
    : 'such as ada@example.org';
  findings.error(range, `${quoted(text)} is not a mail address`, hint);
  return [];
}

function scalarsAt(root: Located, path: Path): readonly LocatedScalar[] {
  const written = find(root, path);
  const items = written?.kind === 'list' ? written.items : written === undefined ? [] : [written];
  return items.filter((item): item is LocatedScalar => item.kind === 'scalar');
}
