import { detectStages, type StarterStage } from './starter-stages.js';

export interface Starter {
  /** The file, with comments. It compiles without diagnostics. */
  readonly text: string;
  /** One sentence for the person who asked for it: what was found, and what the stages do. */
  readonly explains: string;
}

/**
 * A first `.gantry.yml` for a directory. `files` are the names in it, directories too; `read` gives the text of one of
 * them. Nothing of their content gets into the file but version numbers and which known scripts there are.
 */
export function starterPipeline(
  files: readonly string[],
  read: (name: string) => string | undefined,
): Starter {
  const { stages, found } = detectStages({ files: new Set(files), read });
  const text = [header, 'stages:', stages.map(stageText).join('\n\n'), footer].join('\n');
  const explains =
    found.length === 0
      ? 'Nothing here says how it is built: replace the commands of the example.'
      : `Made for ${found.join(' and ')}: ${stages.map(explainStage).join('; ')}.`;
  return { text, explains };
}

const explainStage = (stage: StarterStage): string =>
  `stage \`${stage.name}\` runs ${stage.steps.map((step) => `\`${step.run}\``).join(', ')} in ${stage.image}`;

function stageText({ name, comment, image, steps, artifacts }: StarterStage): string {
  const lines = [
    `  # ${comment}`,
    `  ${name}:`,
    `    image: ${image}`,
    '    steps:',
    ...steps.map(({ run, comment: why }) => `      - ${run}${why === undefined ? '' : ` # ${why}`}`),
  ];
  if (artifacts.length > 0) {
    lines.push(
      '    # Files to keep: fetch them with `gantry artifacts get`. Stages that need this one find them in place.',
    );
    lines.push('    artifacts:');
    for (const artifact of artifacts)
      lines.push(`      ${artifact.name}: { paths: ["${artifact.path}"], optional: true }`);
  }
  return lines.join('\n');
}

const header = `# How this project is built and tested by Gantry. \`gantry validate\` checks this file, \`gantry submit\` runs it
# on the files as they are here, committed or not.
#
# All stages start at once, each on one agent in a fresh copy of the code, but for what they need:
# \`needs: [test]\` waits for another stage. The first step that fails ends its stage.
# Each step is a new shell: \`cd\` and \`export\` do not last. Use \`workdir\`, and
# \`echo "NAME=value" >> "$GANTRY_ENV"\` for later steps. $GANTRY_BRANCH and $GANTRY_COMMIT say what is built.
`;

const footer = `
  # More that a stage can say:
  #
  # integration:
  #   needs: [test]
  #   image: python:3.12
  #   matrix: { version: ["16", "17"] }      # a stage of each value
  #   services:                              # containers beside the steps, found by their names
  #     db: { image: "postgres:\${{ matrix.version }}", env: { POSTGRES_PASSWORD: x }, ready: pg_isready }
  #   env: { DATABASE_URL: "postgres://postgres:x@db/postgres" }
  #   agents: [arch=amd64]                   # labels that an agent must offer
  #   timeout: 20m
  #   steps:
  #     - name: integration tests
  #       run: ./integration.sh
  #       timeout: 10m
  #   artifacts:
  #     report: { paths: ["report/**"], when: always }
`;
