/** Who may not approve a deployment where authors may not: whoever submitted, landed or wrote any of what it would bring. */
import type { DeploymentView } from '../../shared/model/environment-view.js';
import { parseMailAddress } from '../../shared/model/mail-address.js';
import type { CommitId, ProjectId, RunId } from '../../shared/model/ids.js';
import type { Project } from '../../shared/model/project.js';
import { CheckoutError } from '../../shared/git/checkout-failure.js';
import type { Directory } from '../access/directory.js';
import { mailOfAuthor } from '../feedback/recipients.js';
import type { CommitAuthors } from '../source/commit-authors.js';
import { ApiError } from './api-error.js';
import type { Services } from './services.js';

/** The first look at a long history takes a while. */
const patienceMs = 300_000;
/** Runs that are looked up at once. */
const width = 20;
/** A retry of a retry of … */
const mostRetries = 20;

type Needs = Pick<Services, 'coordinator' | 'directory' | 'history' | 'repositories'>;

export interface Bringing {
  readonly project: Project;
  readonly view: Pick<DeploymentView, 'commit' | 'run' | 'by'>;
  /** Null: nothing is there, and all of it is new. */
  readonly since: CommitId | null;
}

/** Names of users. Throws refused when it cannot be found out: then nobody is let through. */
export async function authorsOf(
  services: Needs,
  bringing: Bringing,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { project, view } = bringing;
  const made = await commitsOf(
    services,
    bringing,
    AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]),
  );
  const people = [
    view.by,
    ...(await submittersOf(services, view.run)),
    ...(await landersIn(services, project.id, made)),
  ];
  const { directory } = services;
  const names = new Set(people.flatMap((person) => usersBehind(directory, person)));
  for (const { name, mails } of directory.users()) {
    if (mails.some((mail) => made.mails.has(mail.toLowerCase()))) names.add(name);
  }
  return [...names];
}

async function commitsOf(
  services: Needs,
  { project, view, since }: Bringing,
  signal: AbortSignal,
): Promise<CommitAuthors> {
  const repository = services.repositories.of(project);
  const ask = (from: CommitId | undefined): Promise<CommitAuthors> =>
    repository.authors(from, view.commit, signal);
  try {
    return await ask(since ?? undefined).catch((error: unknown) => {
      // What is there was forced away from the remote: then all that the commit has counts as new.
      if (since !== null && isGone(error)) return ask(undefined);
      throw error;
    });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new ApiError(
      'refused',
      `who wrote what is new cannot be found out now, and so nobody may approve it: ${message}`,
      {
        cause: error,
      },
    );
  }
}

const isGone = (error: unknown): boolean =>
  error instanceof CheckoutError && error.failure.kind === 'checkout-failed' && !error.failure.transient;

/** Of the run, and of those that it repeats. */
async function submittersOf({ coordinator, history }: Needs, run: RunId): Promise<readonly string[]> {
  const people: string[] = [];
  for (let next: RunId | undefined = run; next !== undefined && people.length < mostRetries;) {
    const id: RunId = next;
    const live = await coordinator.read(({ state }) => {
      const found = state.runs.get(id);
      return found === undefined ? undefined : { by: found.facts.by, retryOf: found.retryOf };
    });
    const known = live ?? (await history.index.get(id));
    if (known === undefined) break;
    people.push(known.by);
    next = known.retryOf ?? undefined;
  }
  return people;
}

/**
 * Whoever had something queued that landed among these commits: as the gates remember it, and by the gate's runs that the
 * commits name. A trailer that somebody made up counts only if it names such a run.
 */
async function landersIn(
  { coordinator, history }: Needs,
  project: ProjectId,
  { commits, runs }: CommitAuthors,
): Promise<readonly string[]> {
  const remembered = await coordinator.read(({ state }) =>
    [...state.gates.all.values()]
      .filter((gate) => gate.project === project)
      .flatMap(({ ended }) =>
        ended.flatMap(({ end, by }) => (end.kind === 'landed' && commits.has(end.commit) ? [by] : [])),
      ),
  );
  const live = await coordinator.read(({ state }) =>
    [...runs].flatMap((run) => {
      const facts = state.runs.get(run)?.facts;
      return facts?.event === 'gate' && facts.project === project ? [facts.by] : [];
    }),
  );
  const all = [...runs];
  const ended: string[] = [];
  for (let from = 0; from < all.length; from += width) {
    const rows = await Promise.all(all.slice(from, from + width).map((run) => history.index.get(run)));
    for (const row of rows) {
      if (row?.event === 'gate' && row.projectId === project) ended.push(row.by);
    }
  }
  return [...remembered, ...live, ...ended];
}

/** A name as facts have it: a user's, or `Name <address>` as git says. */
function usersBehind(directory: Pick<Directory, 'user' | 'users'>, person: string): readonly string[] {
  const user = directory.user(person);
  if (user !== undefined) return [user.name];
  const mail = parseMailAddress(mailOfAuthor(person) ?? person)?.toLowerCase();
  const owner = directory.users().find(({ mails }) => mails.some((one) => one.toLowerCase() === mail));
  return [person, ...(owner === undefined ? [] : [owner.name])];
}
