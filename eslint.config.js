import js from '@eslint/js';
import tseslint from 'typescript-eslint';
import { importX, createNodeResolver } from 'eslint-plugin-import-x';

/**
 * Three tables that the linter holds the architecture to. To change the architecture, change a table here and the
 * README of the folder it is about, in the same commit.
 */

// 1. Who may import whom: folder -> folders it may import (besides itself and packages).
const mayImport = {
  'shared/model': [],
  'shared/async': [],
  'shared/text': [],
  'shared/wire': ['shared/model'],
  'shared/blob': ['shared/model', 'shared/async'],
  'shared/git': ['shared/model', 'shared/async'],
  'coordinator/pipeline': ['shared/model'],
  'coordinator/scheduler': [
    'shared/model',
    'coordinator/pipeline',
    'coordinator/gate',
    'coordinator/delivery',
  ],
  'coordinator/gate': ['shared/model'],
  'coordinator/delivery': ['shared/model'],
  'coordinator/journal': ['shared'],
  'coordinator/dispatch': ['shared'],
  'coordinator/fleet': ['shared'],
  'coordinator/logs': ['shared'],
  'coordinator/access': ['shared'],
  'coordinator/history': ['shared', 'coordinator/scheduler', 'coordinator/journal', 'coordinator/logs'],
  'coordinator/feedback': [
    'shared',
    'coordinator/scheduler',
    'coordinator/gate',
    'coordinator/delivery',
    'coordinator/access',
    'coordinator/secrets',
    'coordinator/source',
    'coordinator/coordinator.ts',
  ],
  'coordinator/secrets': ['shared'],
  'coordinator/source': ['shared'],
  'coordinator/storage': ['shared'],
  'coordinator/cli': ['shared', 'coordinator'],
  coordinator: ['shared'],
  'agent/executor': ['shared'],
  'agent/workspace': ['shared'],
  'agent/artifacts': ['shared', 'agent/workspace'],
  'agent/logs': ['shared'],
  'agent/host': ['shared'],
  'agent/session': ['shared'],
  'agent/stage': [
    'shared',
    'agent/executor',
    'agent/workspace',
    'agent/artifacts',
    'agent/logs',
    'agent/session',
  ],
  agent: ['shared'],
};

// 2. Who may touch which SDK: package pattern -> the files (by prefix) that may.
const sdks = [
  { packages: ['/nats', 'nkeys.js', '@nats-io/*'], files: ['**/nats-*.ts'] },
  { packages: ['@aws-sdk/*', '@smithy/*'], files: ['**/s3-*.ts'] },
  { packages: ['dockerode'], files: ['**/docker-*.ts'] },
  { packages: ['@grpc/*', 'grpc-health-check'], files: ['**/grpc-*.ts'] },
  { packages: ['nodemailer'], files: ['**/mail-*.ts'] },
];

// 3. What the pure core may not do, and the packages it may use by name.
const pure = {
  'shared/model': [],
  'coordinator/pipeline': ['yaml', 'zod', '@marcbachmann/cel-js', '@bufbuild/re2'],
  'coordinator/scheduler': [],
  'coordinator/gate': [],
  'coordinator/delivery': [],
};

const sdkPatterns = (allowed) =>
  sdks
    .filter((sdk) => !allowed.includes(sdk))
    .map((sdk) => ({
      group: sdk.packages,
      message: `only ${sdk.files.join(', ')} may import this SDK: put it behind a port`,
    }));

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'shared/wire/gen/', '**/*.mjs', 'eslint.config.js', 'deploy/'] },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    plugins: { 'import-x': importX },
    settings: {
      'import-x/resolver-next': [
        createNodeResolver({ extensionAlias: { '.js': ['.ts', '.js'] }, extensions: ['.ts', '.js'] }),
      ],
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] },
      'import-x/extensions': ['.ts', '.js'],
    },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { varsIgnorePattern: '^_', argsIgnorePattern: '^_' }],
      'import-x/no-cycle': 'error',
      'import-x/no-restricted-paths': [
        'error',
        {
          basePath: import.meta.dirname,
          zones: Object.entries(mayImport).map(([folder, allowed]) => ({
            target: `./${folder}`,
            from: '.',
            except: ['./node_modules', `./${folder}`, ...allowed.map((other) => `./${other}`)],
            message: `${folder} may import only ${[folder, ...allowed].join(', ')} (eslint.config.js, table 1)`,
          })),
        },
      ],
    },
  },
  {
    files: ['shared/**/*.ts', 'coordinator/**/*.ts', 'agent/**/*.ts'],
    rules: { 'no-restricted-imports': ['error', { patterns: sdkPatterns([]) }] },
  },
  ...sdks.map((sdk) => ({
    files: sdk.files,
    ignores: ['test/**'],
    rules: { 'no-restricted-imports': ['error', { patterns: sdkPatterns([sdk]) }] },
  })),
  ...Object.entries(pure).map(([folder, packages]) => ({
    files: [`${folder}/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            { regex: `^(?!\\.{1,2}/)(?!(${['$^', ...packages].join('|')})$)`, message: `${folder} is pure` },
          ],
        },
      ],
      'no-restricted-globals': [
        'error',
        ...[
          'process',
          'setTimeout',
          'setInterval',
          'setImmediate',
          'fetch',
          'performance',
          'Buffer',
          'crypto',
        ],
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'time comes in as `now`' },
        { object: 'Math', property: 'random', message: 'randomness comes from the seed in the state' },
      ],
      'no-restricted-syntax': [
        'error',
        { selector: ':function[async=true]', message: `${folder} is pure: no promises` },
        {
          selector: 'NewExpression[callee.name="Date"][arguments.length=0]',
          message: 'time comes in as `now`',
        },
      ],
    },
  })),
  {
    files: ['test/**/*.ts', 'vitest.config.ts'],
    rules: {
      'import-x/no-restricted-paths': 'off',
      'no-restricted-imports': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
);
