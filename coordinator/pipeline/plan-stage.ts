import type {
  PlannedArtifact,
  PlannedBuild,
  PlannedService,
  PlannedStage,
  PlannedStep,
  SecretUse,
} from '../../shared/model/pipeline.js';
import { parseDuration, showDuration } from './duration.js';
import { expand, type Cell } from './expression.js';
import type { Findings } from './findings.js';
import { defaults } from './limits.js';
import { find, keyRangeOf, type Located, type LocatedScalar, type Path } from './located.js';
import { nameOfBuild, planBuild } from './plan-build.js';
import type { Pipeline, Stage, Step } from './schema.js';
import { lostEffect, nameOf, stepName } from './shell-words.js';
import {
  normalPath,
  wrongDuration,
  wrongImage,
  wrongLabel,
  wrongPath,
  wrongScript,
  wrongSecret,
  wrongUser,
  wrongVariable,
  type Wrong,
} from './values.js';
import { code } from './words.js';

export interface StageToPlan {
  readonly root: Located;
  readonly findings: Findings;
  readonly pipeline: Pipeline;
  readonly name: string;
  /** What is valid of it. */
  readonly definition: Stage;
  /** Undefined: the matrix is invalid, which was reported. */
  readonly cell: Cell | undefined;
  readonly number: number;
  readonly needs: readonly number[];
}

/** One stage, or one cell of its matrix, with every value complete. Worth using only if nothing was reported. */
export function planStage(toPlan: StageToPlan): PlannedStage {
  return new StagePlanner(toPlan).plan();
}

/** Holds what every part of a stage needs to know: where it is written, and what its expressions mean. */
class StagePlanner {
  readonly #given: StageToPlan;
  readonly #path: Path;

  constructor(given: StageToPlan) {
    this.#given = given;
    this.#path = ['stages', given.name];
  }

  plan(): PlannedStage {
    const { definition, cell, number, name, needs } = this.#given;
    const timeoutMs = this.#duration([...this.#path, 'timeout'], definition.timeout) ?? defaults.timeoutMs;
    const image = this.#image();
    const user =
      definition.user === undefined ? undefined : this.#checked([...this.#path, 'user'], wrongUser);
    const labels = this.#labels();
    const services = this.#services();
    this.#checkContainers({ image, labels });
    const secrets = this.#secrets([...this.#path, 'secrets'], definition);
    const verify = this.#verify();
    return {
      number,
      name,
      cell: cell ?? {},
      needs,
      ...(typeof image === 'string' ? { image } : {}),
      ...(user === undefined ? {} : { user }),
      labels,
      env: {
        ...without(this.#env(['env'], this.#given.pipeline.env), secrets),
        ...this.#env([...this.#path, 'env'], definition.env),
      },
      services,
      timeoutMs,
      allowFailure: definition['allow-failure'] ?? false,
      maxAttempts: defaults.maxAttempts,
      steps: (definition.steps ?? []).map((step, index) => this.#step(step, index, timeoutMs)),
      artifacts: this.#artifacts(),
      ...(secrets.length === 0 ? {} : { secrets }),
      ...(definition.environment === undefined ? {} : { environment: definition.environment }),
      ...(verify.length === 0 ? {} : { verify }),
    };
  }

  #verify(): string[] {
    const { root, definition, findings, name } = this.#given;
    const path = [...this.#path, 'verify'];
    if (find(root, path) !== undefined && find(root, [...this.#path, 'environment']) === undefined) {
      const message = `\`verify\` is for a deployment, and stage ${code(name)} has no \`environment\``;
      findings.error(keyRangeOf(root, path), message, 'write it as a step, or name the `environment`');
    }
    const { verify = [] } = definition;
    return verify.map((_, index) => this.#checked([...path, index], wrongScript, 'script') ?? '');
  }

  /** The stage's own, or the one at the top; null: none; undefined: invalid, and reported. */
  #image(): string | null | undefined {
    const { root, pipeline, definition, findings } = this.#given;
    const own = find(root, [...this.#path, 'image']);
    const path = own === undefined ? ['image'] : [...this.#path, 'image'];
    const written = own ?? find(root, path);
    if (written === undefined) return null;
    const valid = own === undefined ? pipeline.image : definition.image;
    if (valid === undefined || written.kind !== 'scalar') return undefined;
    if (written.value === null && written.text === '') {
      const hint = 'write `image: null` for none: the stage runs on an agent with the host executor';
      findings.error(keyRangeOf(root, path), 'the name of the image is missing', hint);
      return undefined;
    }
    return written.value === null ? null : this.#checked(path, wrongImage);
  }

  #labels(): string[] {
    const { root, definition } = this.#given;
    if (definition.agents === undefined) return [];
    const written = find(root, [...this.#path, 'agents']);
    const count = written?.kind === 'list' ? written.items.length : 0;
    const paths: Path[] =
      written?.kind === 'list'
        ? Array.from({ length: count }, (_, index) => [...this.#path, 'agents', index])
        : [[...this.#path, 'agents']];
    const labels = paths.flatMap((path) => this.#checked(path, wrongLabel) ?? []);
    return [...new Set(labels)].sort();
  }

  #checkContainers({ image, labels }: { image: string | null | undefined; labels: readonly string[] }): void {
    const { root, definition, findings, name } = this.#given;
    if (image === null) {
      for (const key of ['services', 'user'] as const) {
        if (definition[key] === undefined) continue;
        const hint = 'name an `image` for the stage, or one for all at the top';
        const what = key === 'services' ? 'services run beside a container' : 'a user is one of a container';
        findings.error(
          keyRangeOf(root, [...this.#path, key]),
          `${what}, and stage ${code(name)} has no image`,
          hint,
        );
      }
      this.#checkBuilds();
    } else if (image !== undefined && labels.includes('executor=host')) {
      const message = `stage ${code(name)} has an image, and the host executor runs none`;
      findings.error(
        keyRangeOf(root, [...this.#path, 'agents']),
        message,
        'write `image: null` in the stage, or leave the label out',
      );
    }
  }

  /** The box is where the workspace is kept still while it is sent to the build. */
  #checkBuilds(): void {
    const { root, definition, findings, name } = this.#given;
    for (const [index, step] of (definition.steps ?? []).entries()) {
      if (typeof step !== 'object' || step.build === undefined) continue;
      const message = `an image is built beside a container, and stage ${code(name)} has no image`;
      const hint = 'name an `image` for the stage, or one for all at the top';
      findings.error(keyRangeOf(root, [...this.#path, 'steps', index, 'build']), message, hint);
    }
  }

  #services(): PlannedService[] {
    const { definition } = this.#given;
    return this.#keysOf('services').flatMap((name) => {
      const service = own(definition.services, name);
      if (service === undefined) return [];
      const path = [...this.#path, 'services', name];
      const ready =
        service.ready === undefined ? undefined : this.#checked([...path, 'ready'], wrongScript, 'script');
      const command = service.command?.map(
        (_, index) => this.#checked([...path, 'command', index], wrongVariable) ?? '',
      );
      return [
        {
          name,
          image: this.#checked([...path, 'image'], wrongImage) ?? '',
          env: this.#env([...path, 'env'], service.env),
          ...(ready === undefined ? {} : { ready }),
          ...(command === undefined ? {} : { command }),
        },
      ];
    });
  }

  #step(step: Step, index: number, stageTimeoutMs: number): PlannedStep {
    const { findings } = this.#given;
    const path = [...this.#path, 'steps', index];
    const short = typeof step !== 'object';
    const build = short || step.build === undefined ? undefined : this.#build([...path, 'build']);
    const runPath = short ? path : [...path, 'run'];
    const run = this.#checked(runPath, wrongScript, 'script') ?? '';
    const lost = lostEffect(run);
    const runRange = this.#scalar(runPath)?.range;
    if (lost !== undefined && runRange !== undefined)
      findings.warn(
        runRange,
        `a step that is only ${code(lost.word)} changes nothing for the next one`,
        lost.hint,
      );
    const name =
      short || step.name === undefined ? undefined : this.#checked([...path, 'name'], wrongVariable);
    const timeoutMs = short ? undefined : this.#duration([...path, 'timeout'], step.timeout);
    if (timeoutMs !== undefined && timeoutMs > stageTimeoutMs) {
      const range = this.#scalar([...path, 'timeout'])?.range;
      const limit = showDuration(stageTimeoutMs);
      if (range !== undefined)
        findings.warn(
          range,
          `the stage's timeout of ${limit} ends the step before`,
          'set `timeout` of the stage too',
        );
    }
    const workdir =
      short || step.workdir === undefined ? undefined : this.#checked([...path, 'workdir'], wrongPath);
    const normal = workdir === undefined ? undefined : normalPath(workdir);
    const secrets = short ? [] : this.#secrets([...path, 'secrets'], step);
    return {
      number: index + 1,
      name:
        name === undefined || name.trim() === ''
          ? stepName(build === undefined ? nameOf(run) : nameOfBuild(build))
          : stepName(name),
      run,
      ...(build === undefined ? {} : { build }),
      env: short ? {} : this.#env([...path, 'env'], step.env),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(normal === undefined ? {} : { workdir: normal }),
      ...(secrets.length === 0 ? {} : { secrets }),
    };
  }

  #build(path: Path): PlannedBuild {
    const { root, findings } = this.#given;
    return planBuild({ root, findings, path, checked: (place, wrong) => this.#checked(place, wrong) });
  }

  /** `valid`: of the stage or the step that they belong to. */
  #secrets(path: Path, { secrets, env }: Pick<Stage, 'secrets' | 'env'>): SecretUse[] {
    const { root, findings } = this.#given;
    const written = find(root, path);
    if (secrets === undefined || written === undefined || written.kind === 'scalar') return [];
    const names: readonly (readonly [string, Path])[] =
      written.kind === 'map'
        ? [...written.entries.keys()].map((variable) => [variable, [...path, variable]])
        : written.items.flatMap((item, index) =>
            item.kind === 'scalar' ? [[item.text, [...path, index]] as const] : [],
          );
    const uses = new Map<string, SecretUse>();
    for (const [variable, place] of names) {
      const secret = written.kind === 'map' ? this.#checked(place, wrongSecret) : variable;
      if (env !== undefined && Object.hasOwn(env, variable)) {
        const hint = 'remove one of them, or give the secret another variable: `{ OTHER: name }`';
        findings.error(keyRangeOf(root, place), `${code(variable)} is in \`env\` too`, hint);
      } else if (uses.has(variable)) {
        findings.error(keyRangeOf(root, place), `${code(variable)} is named twice`);
      } else uses.set(variable, { variable, secret: secret ?? '' });
    }
    return [...uses.values()];
  }

  #artifacts(): PlannedArtifact[] {
    const { root, definition } = this.#given;
    return this.#keysOf('artifacts').flatMap((name, index) => {
      const artifact = own(definition.artifacts, name);
      if (artifact === undefined) return [];
      const conditions = typeof artifact === 'object' && !Array.isArray(artifact) ? artifact : undefined;
      const path = [...this.#path, 'artifacts', name, ...(conditions === undefined ? [] : ['paths'])];
      const written = find(root, path);
      const paths =
        written?.kind === 'list'
          ? written.items.map((_, item) => this.#checked([...path, item], wrongPath) ?? '')
          : [this.#checked(path, wrongPath) ?? ''];
      return [
        {
          number: index + 1,
          name,
          paths,
          when: conditions?.when ?? 'success',
          optional: conditions?.optional ?? false,
        },
      ];
    });
  }

  #env(path: Path, valid: Readonly<Record<string, unknown>> | undefined): Record<string, string> {
    if (valid === undefined) return {};
    return Object.fromEntries(
      Object.keys(valid).map((name) => [name, this.#checked([...path, name], wrongVariable) ?? '']),
    );
  }

  #duration(path: Path, valid: string | undefined): number | undefined {
    const text = valid === undefined ? undefined : this.#checked(path, wrongDuration);
    return text === undefined ? undefined : parseDuration(text);
  }

  /** The text at the path with its expressions expanded, if nothing is wrong with it; otherwise that is reported. */
  #checked(
    path: Path,
    wrong: (text: string) => Wrong | undefined,
    use: 'script' | 'value' = 'value',
  ): string | undefined {
    const { findings, name, cell } = this.#given;
    const scalar = this.#scalar(path);
    if (scalar === undefined) return undefined;
    const text = expand(scalar, { findings, stage: name, cell, use });
    if (text === undefined) return undefined;
    const found = wrong(text);
    if (found === undefined) return text;
    const range = scalar.text === '' ? keyRangeOf(this.#given.root, path) : scalar.range;
    findings.error(range, found.message, found.hint);
    return undefined;
  }

  #scalar(path: Path): LocatedScalar | undefined {
    const found = find(this.#given.root, path);
    return found?.kind === 'scalar' ? found : undefined;
  }

  /** In the order of the file, which objects do not keep for names that are numbers. */
  #keysOf(key: 'services' | 'artifacts'): string[] {
    const found = find(this.#given.root, [...this.#path, key]);
    return found?.kind === 'map' ? [...found.entries.keys()] : [];
  }
}

/** A name that a person wrote is no property that every object has. */
const own = <T>(record: Readonly<Record<string, T>> | undefined, name: string): T | undefined =>
  record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;

/** A secret of the stage stands in place of a variable of the top level. */
const without = (
  env: Readonly<Record<string, string>>,
  secrets: readonly SecretUse[],
): Record<string, string> =>
  Object.fromEntries(
    Object.entries(env).filter(([name]) => !secrets.some(({ variable }) => variable === name)),
  );
