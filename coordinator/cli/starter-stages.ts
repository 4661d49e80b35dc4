/** What a directory holds, and what one builds and tests it with. */
export interface Directory {
  readonly files: ReadonlySet<string>;
  readonly read: (name: string) => string | undefined;
}

export interface StarterStage {
  readonly name: string;
  readonly comment: string;
  readonly image: string;
  /** Plain YAML scalars: no `: `, no ` #`. */
  readonly steps: readonly { readonly run: string; readonly comment?: string }[];
  readonly artifacts: readonly { readonly name: string; readonly path: string }[];
}

interface Ecosystem {
  /** Name of its stage where there are several. */
  readonly name: string;
  /** The file that shows it, or undefined. */
  readonly found: (directory: Directory) => string | undefined;
  readonly stage: (directory: Directory) => Omit<StarterStage, 'name'>;
}

/** A stage for each ecosystem found; a Makefile counts where nothing else is, because then it is all there is. */
export function detectStages(directory: Directory): { stages: StarterStage[]; found: string[] } {
  const matches = ecosystems.flatMap((ecosystem) => {
    const file = ecosystem.found(directory);
    return file === undefined ? [] : [{ ecosystem, file }];
  });
  const special = matches.filter(({ ecosystem }) => ecosystem !== make);
  const chosen = special.length > 0 ? special : matches;
  if (chosen.length === 0) return { stages: [{ name: 'test', ...generic }], found: [] };
  return {
    stages: chosen.map(({ ecosystem }) => ({
      name: chosen.length === 1 ? 'test' : ecosystem.name,
      ...ecosystem.stage(directory),
    })),
    found: chosen.map(({ file }) => file),
  };
}

const firstOf =
  (...names: readonly string[]) =>
  ({ files }: Directory): string | undefined =>
    names.find((name) => files.has(name));

const run = (...commands: readonly (string | undefined)[]): { run: string }[] =>
  commands.flatMap((command) => (command === undefined ? [] : [{ run: command }]));

/** The number that a pattern finds in a file, as the tag of an image; never anything else of the file. */
function version({ read }: Directory, files: readonly string[], pattern: RegExp): string | undefined {
  for (const file of files) {
    const found = pattern.exec(read(file) ?? '')?.[1];
    if (found !== undefined && /^\d{1,3}(\.\d{1,3})?$/.test(found)) return found;
  }
  return undefined;
}

const node: Ecosystem = {
  name: 'node',
  found: firstOf('package.json'),
  stage: (directory) => {
    const { scripts, manager } = packageJson(directory);
    const nodeVersion = version(directory, ['.nvmrc', '.node-version'], /^v?(\d+)/) ?? '22';
    const { install, runs } = managers[manager](directory);
    const known = ['lint', 'typecheck', 'build', 'test'].filter((script) => scripts.has(script));
    return {
      comment: `Node.js, with ${manager}.`,
      image: `node:${nodeVersion}`,
      steps: run(
        ...install,
        ...known.map((script) => `${runs} ${script}`),
        known.length === 0 ? 'npm pack --dry-run' : undefined,
      ),
      artifacts: scripts.has('build') ? [{ name: 'dist', path: 'dist/**' }] : [],
    };
  },
};

type Manager = 'npm' | 'yarn' | 'pnpm';

const managers: Record<Manager, (directory: Directory) => { install: string[]; runs: string }> = {
  npm: ({ files }) => ({
    install: [files.has('package-lock.json') || files.has('npm-shrinkwrap.json') ? 'npm ci' : 'npm install'],
    runs: 'npm run',
  }),
  // The lock file of yarn 1 says so in its first lines; later versions know another flag.
  yarn: ({ read }) => ({
    install: [
      'corepack enable',
      read('yarn.lock')?.includes('yarn lockfile v1') === true
        ? 'yarn install --frozen-lockfile'
        : 'yarn install --immutable',
    ],
    runs: 'yarn run',
  }),
  pnpm: () => ({ install: ['corepack enable', 'pnpm install --frozen-lockfile'], runs: 'pnpm run' }),
};

function packageJson({ files, read }: Directory): { scripts: ReadonlySet<string>; manager: Manager } {
  let content: unknown;
  try {
    content = JSON.parse(read('package.json') ?? '{}');
  } catch {
    // Not valid at the moment: a starter without its scripts is still a start.
    content = {};
  }
  const field = (value: unknown, key: string): unknown =>
    typeof value === 'object' && value !== null && Object.hasOwn(value, key)
      ? Object.entries(value).find(([name]) => name === key)?.[1]
      : undefined;
  const scripts = field(content, 'scripts');
  const names = typeof scripts === 'object' && scripts !== null ? Object.entries(scripts) : [];
  // What `npm init` writes is no test.
  const real = names.filter(([, script]) => !String(script).includes('no test specified'));
  const packageManager = field(content, 'packageManager');
  const declared = typeof packageManager === 'string' ? packageManager : '';
  const manager: Manager =
    declared.startsWith('pnpm@') || files.has('pnpm-lock.yaml')
      ? 'pnpm'
      : declared.startsWith('yarn@') || files.has('yarn.lock')
        ? 'yarn'
        : 'npm';
  return { scripts: new Set(real.map(([name]) => name)), manager };
}

const python: Ecosystem = {
  name: 'python',
  found: firstOf('pyproject.toml', 'requirements.txt', 'setup.py', 'setup.cfg'),
  stage: (directory) => {
    const { files, read } = directory;
    const texts = ['pyproject.toml', 'requirements.txt', 'requirements-dev.txt', 'setup.cfg', 'tox.ini'].map(
      (name) => read(name) ?? '',
    );
    const usesPytest =
      texts.some((text) => text.includes('pytest')) || files.has('pytest.ini') || files.has('conftest.py');
    const isPackage = files.has('pyproject.toml') || files.has('setup.py');
    const tests = files.has('tests') || files.has('test');
    return {
      comment: 'Python.',
      image: `python:${version(directory, ['.python-version'], /^(3\.\d+)/) ?? '3.12'}`,
      steps: run(
        files.has('requirements.txt') ? 'pip install -r requirements.txt' : undefined,
        files.has('requirements-dev.txt') ? 'pip install -r requirements-dev.txt' : undefined,
        isPackage ? 'pip install .' : undefined,
        'python -m compileall -q .',
        usesPytest ? 'pip install pytest' : undefined,
        usesPytest
          ? 'pytest'
          : files.has('manage.py')
            ? 'python manage.py test'
            : tests
              ? 'python -m unittest discover'
              : undefined,
      ),
      artifacts: [],
    };
  },
};

const go: Ecosystem = {
  name: 'go',
  found: firstOf('go.mod'),
  stage: (directory) => ({
    comment: 'Go.',
    image: `golang:${version(directory, ['go.mod'], /^go (\d+\.\d+)/m) ?? '1.23'}`,
    steps: run('go build ./...', 'go vet ./...', 'go test ./...'),
    artifacts: [],
  }),
};

const rust: Ecosystem = {
  name: 'rust',
  found: firstOf('Cargo.toml'),
  stage: ({ files }) => {
    const locked = files.has('Cargo.lock') ? ' --locked' : '';
    return {
      comment: 'Rust.',
      image: 'rust:1',
      steps: run(`cargo build${locked}`, `cargo test${locked}`),
      artifacts: [],
    };
  },
};

const maven: Ecosystem = {
  name: 'maven',
  found: firstOf('pom.xml'),
  stage: ({ files }) => ({
    comment: 'Java, with Maven.',
    image: 'maven:3-eclipse-temurin-21',
    steps: run(`${files.has('mvnw') ? 'sh ./mvnw' : 'mvn'} -B verify`),
    artifacts: [{ name: 'jars', path: 'target/*.jar' }],
  }),
};

const gradle: Ecosystem = {
  name: 'gradle',
  found: firstOf('build.gradle', 'build.gradle.kts', 'settings.gradle', 'settings.gradle.kts'),
  stage: ({ files }) => ({
    comment: 'Java or Kotlin, with Gradle.',
    image: files.has('gradlew') ? 'eclipse-temurin:21' : 'gradle:8-jdk21',
    steps: run(`${files.has('gradlew') ? 'sh ./gradlew' : 'gradle'} --no-daemon build`),
    artifacts: [{ name: 'libs', path: 'build/libs/**' }],
  }),
};

const ruby: Ecosystem = {
  name: 'ruby',
  found: firstOf('Gemfile'),
  stage: ({ files }) => ({
    comment: 'Ruby.',
    image: 'ruby:3.3',
    steps: run(
      'bundle install',
      files.has('spec')
        ? 'bundle exec rspec'
        : files.has('Rakefile')
          ? 'bundle exec rake test'
          : 'bundle exec ruby -v',
    ),
    artifacts: [],
  }),
};

const cmake: Ecosystem = {
  name: 'cmake',
  found: firstOf('CMakeLists.txt'),
  stage: () => ({
    comment: 'C or C++, with CMake.',
    image: 'debian:12',
    steps: [
      {
        run: 'apt-get update && apt-get install -y --no-install-recommends cmake g++ make',
        comment: 'an image of your own saves this',
      },
      { run: 'cmake -S . -B build' },
      { run: 'cmake --build build --parallel' },
      { run: 'ctest --test-dir build --output-on-failure' },
    ],
    artifacts: [],
  }),
};

const make: Ecosystem = {
  name: 'make',
  found: firstOf('Makefile', 'makefile', 'GNUmakefile'),
  stage: ({ read }) => {
    const text = ['Makefile', 'makefile', 'GNUmakefile'].map((name) => read(name) ?? '').join('\n');
    const target = ['check', 'test'].find((name) => new RegExp(`^${name}\\s*:`, 'm').test(text));
    return {
      comment: 'What the Makefile does.',
      image: 'gcc:14',
      steps: run('make', target === undefined ? undefined : `make ${target}`),
      artifacts: [],
    };
  },
};

const ecosystems: readonly Ecosystem[] = [node, python, go, rust, maven, gradle, ruby, cmake, make];

const generic: Omit<StarterStage, 'name'> = {
  comment: 'An example: what to run, and in which image.',
  image: 'debian:12',
  steps: [{ run: 'echo "put the commands that build and test the project here"' }, { run: 'ls' }],
  artifacts: [],
};
