import { describe, expect, it } from 'vitest';
import { starterPipeline } from '../../../coordinator/cli/starter.js';
import { compiled, said } from './compiled.js';

function starterFor(contents: Readonly<Record<string, string>>): {
  text: string;
  explains: string;
  commands: string[];
} {
  const starter = starterPipeline(Object.keys(contents), (name) => contents[name]);
  expect(said(starter.text)).toBe('');
  return {
    ...starter,
    commands: compiled(starter.text).flatMap((stage) => [
      `${stage.name} in ${stage.image ?? 'none'}`,
      ...stage.steps.map((step) => step.run),
    ]),
  };
}

const packageJson = (content: unknown): string => JSON.stringify(content);

describe('the starter pipeline', () => {
  it.each([
    [
      'npm',
      {
        'package.json': packageJson({
          scripts: { test: 'vitest', build: 'tsc', lint: 'eslint', start: 'x' },
        }),
        'package-lock.json': '',
        '.nvmrc': 'v20.11.0\n',
      },
      ['test in node:20', 'npm ci', 'npm run lint', 'npm run build', 'npm run test'],
    ],
    [
      'npm without scripts or lock file',
      { 'package.json': packageJson({ scripts: { test: 'echo "Error: no test specified" && exit 1' } }) },
      ['test in node:22', 'npm install', 'npm pack --dry-run'],
    ],
    [
      'a broken package.json',
      { 'package.json': '{' },
      ['test in node:22', 'npm install', 'npm pack --dry-run'],
    ],
    [
      'yarn 1',
      { 'package.json': packageJson({ scripts: { test: 'x' } }), 'yarn.lock': '# yarn lockfile v1\n' },
      ['test in node:22', 'corepack enable', 'yarn install --frozen-lockfile', 'yarn run test'],
    ],
    [
      'yarn 4',
      { 'package.json': packageJson({ scripts: { test: 'x' }, packageManager: 'yarn@4.1.0' }) },
      ['test in node:22', 'corepack enable', 'yarn install --immutable', 'yarn run test'],
    ],
    [
      'pnpm',
      { 'package.json': packageJson({ scripts: { test: 'x' } }), 'pnpm-lock.yaml': '' },
      ['test in node:22', 'corepack enable', 'pnpm install --frozen-lockfile', 'pnpm run test'],
    ],
    [
      'Python with pytest',
      { 'requirements.txt': 'flask\n', 'requirements-dev.txt': 'pytest\n', '.python-version': '3.10\n' },
      [
        'test in python:3.10',
        'pip install -r requirements.txt',
        'pip install -r requirements-dev.txt',
        'python -m compileall -q .',
        'pip install pytest',
        'pytest',
      ],
    ],
    [
      'a Python package',
      { 'pyproject.toml': '[project]\n', tests: '' },
      ['test in python:3.12', 'pip install .', 'python -m compileall -q .', 'python -m unittest discover'],
    ],
    [
      'Go',
      { 'go.mod': 'module x\n\ngo 1.22.1\n', Makefile: 'all:\n' },
      ['test in golang:1.22', 'go build ./...', 'go vet ./...', 'go test ./...'],
    ],
    [
      'Rust',
      { 'Cargo.toml': '', 'Cargo.lock': '' },
      ['test in rust:1', 'cargo build --locked', 'cargo test --locked'],
    ],
    ['Maven', { 'pom.xml': '', mvnw: '' }, ['test in maven:3-eclipse-temurin-21', 'sh ./mvnw -B verify']],
    ['Gradle', { 'build.gradle.kts': '' }, ['test in gradle:8-jdk21', 'gradle --no-daemon build']],
    ['Ruby', { Gemfile: '', spec: '' }, ['test in ruby:3.3', 'bundle install', 'bundle exec rspec']],
    [
      'CMake',
      { 'CMakeLists.txt': '', Makefile: '' },
      [
        'test in debian:12',
        'apt-get update && apt-get install -y --no-install-recommends cmake g++ make',
        'cmake -S . -B build',
        'cmake --build build --parallel',
        'ctest --test-dir build --output-on-failure',
      ],
    ],
    ['make', { Makefile: 'all:\n\ttrue\ncheck: all\n' }, ['test in gcc:14', 'make', 'make check']],
    [
      'nothing known',
      { 'notes.txt': '' },
      ['test in debian:12', 'echo "put the commands that build and test the project here"', 'ls'],
    ],
    [
      'two languages',
      { 'package.json': packageJson({ scripts: { build: 'x' } }), 'go.mod': 'go 1.23' },
      [
        'node in node:22',
        'npm install',
        'npm run build',
        'go in golang:1.23',
        'go build ./...',
        'go vet ./...',
        'go test ./...',
      ],
    ],
  ])('compiles without a word and fits: %s', (_, contents, commands) => {
    // `contents` is a union of the objects above.
    const files: Readonly<Record<string, string>> = contents;
    expect(starterFor(files).commands).toEqual(commands);
  });

  it('explains what was found and what it does', () => {
    expect(starterFor({ 'pom.xml': '' }).explains).toBe(
      'Made for pom.xml: stage `test` runs `mvn -B verify` in maven:3-eclipse-temurin-21.',
    );
    expect(starterFor({}).explains).toBe(
      'Nothing here says how it is built: replace the commands of the example.',
    );
  });

  it('has examples in its comments that compile as well', () => {
    const { text } = starterFor({});
    const examples = text.slice(text.indexOf('  # More that a stage can say:')).split('\n').slice(2);
    const stages = examples.map((line) => line.replace('  # ', '  ')).join('\n');
    expect(said(`${text.slice(0, text.indexOf('  # More'))}${stages}`)).toBe('');
    expect(
      compiled(`${text.slice(0, text.indexOf('  # More'))}${stages}`).map((stage) => stage.name),
    ).toEqual(['test', 'integration', 'integration']);
  });

  it('takes nothing from files but numbers', () => {
    const { text } = starterFor({
      'package.json': packageJson({ scripts: { 'test\n  evil': 'x', test: 'rm -rf /' }, packageManager: 7 }),
      '.nvmrc': '20; evil',
      'go.mod': 'go 1.2\n  evil: x',
    });
    expect(text).not.toContain('evil');
    expect(text).not.toContain('rm -rf');
  });
});
