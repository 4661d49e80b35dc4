import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseAddress, resolveConnection } from '../../../coordinator/cli/connection.js';
import { contextsFile, readContexts, withContext, writeContexts } from '../../../coordinator/cli/context.js';

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gantry-context-'));
  file = join(dir, 'deep', 'contexts.json');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe('the file of contexts', () => {
  it('lies where GANTRY_CONFIG says, else below XDG_CONFIG_HOME, else in the home directory', () => {
    expect(contextsFile({ GANTRY_CONFIG: '/x/y.json', XDG_CONFIG_HOME: '/c', HOME: '/h' })).toBe('/x/y.json');
    expect(contextsFile({ XDG_CONFIG_HOME: '/c', HOME: '/h' })).toBe('/c/gantry/contexts.json');
    expect(contextsFile({ XDG_CONFIG_HOME: 'relative', HOME: '/h' })).toBe('/h/.config/gantry/contexts.json');
  });

  it('is readable by its owner only, also when it was not before, and whole', () => {
    writeContexts(file, withContext(readContexts(file), 'a', { coordinator: 'h:1', token: 't' }));
    writeFileSync(file, JSON.stringify(readContexts(file)), { mode: 0o644 });
    writeContexts(file, withContext(readContexts(file), 'b', { coordinator: 'h:2', token: 'u', ca: 'pem' }));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(dir, 'deep'))).toEqual(['contexts.json']);
    expect(readContexts(file)).toEqual({
      current: 'b',
      contexts: { a: { coordinator: 'h:1', token: 't' }, b: { coordinator: 'h:2', token: 'u', ca: 'pem' } },
    });
  });

  it('is not overwritten when it is damaged', () => {
    writeContexts(file, { current: null, contexts: {} });
    writeFileSync(file, '{"current":');
    expect(() => readContexts(file)).toThrow('is not a file of contexts');
  });
});

describe('whom a command talks to', () => {
  const env = (more: Record<string, string> = {}): Record<string, string> => ({
    GANTRY_CONFIG: file,
    ...more,
  });
  const context = (): void =>
    writeContexts(file, {
      current: 'one',
      contexts: {
        one: { coordinator: 'one:7420', token: 'T1', ca: 'CA1' },
        two: { coordinator: 'two:1', token: 'T2' },
      },
    });

  it('is 127.0.0.1:7420 without anything', () => {
    expect(resolveConnection({}, env())).toEqual({
      address: '127.0.0.1:7420',
      token: '',
      from: 'the default address',
    });
  });

  it('is the current context, or the one named', () => {
    context();
    expect(resolveConnection({}, env())).toMatchObject({
      address: 'one:7420',
      token: 'T1',
      tls: { ca: 'CA1' },
    });
    expect(resolveConnection({ context: 'two' }, env())).toMatchObject({ address: 'two:1', token: 'T2' });
    expect(() => resolveConnection({ context: 'three' }, env())).toThrow('there is no context "three"');
  });

  it('is a flag before the environment before the context', () => {
    context();
    const both = env({ GANTRY_COORDINATOR: 'env:1', GANTRY_TOKEN: 'TE' });
    expect(resolveConnection({}, both)).toMatchObject({ address: 'env:1', token: 'TE' });
    expect(resolveConnection({ coordinator: 'flag:1', token: 'TF' }, both)).toMatchObject({
      address: 'flag:1',
      token: 'TF',
    });
  });

  it('never sends the token of a context to another coordinator', () => {
    context();
    expect(resolveConnection({ coordinator: 'evil:7420' }, env())).toEqual({
      address: 'evil:7420',
      token: '',
      from: '--coordinator',
      tls: {},
    });
    expect(resolveConnection({ coordinator: 'one' }, env())).toMatchObject({
      token: 'T1',
      tls: { ca: 'CA1' },
    });
  });

  it.each([
    ['host', 'host:7420', undefined, false],
    ['127.0.0.1:1', '127.0.0.1:1', undefined, true],
    ['http://host:2', 'host:2', false, false],
    ['https://host:2/', 'host:2', true, false],
    ['[::1]:3', '[::1]:3', undefined, true],
  ])('reads the address %s', (text, hostPort, tls, loopback) => {
    expect(parseAddress(text)).toEqual({ hostPort, tls, loopback });
  });

  it('is plain text off loopback only where somebody says so', () => {
    expect(resolveConnection({ coordinator: 'ci.example.org' }, env()).tls).toEqual({});
    expect(resolveConnection({ coordinator: 'http://ci.example.org' }, env()).tls).toBeUndefined();
    expect(resolveConnection({ coordinator: '127.0.0.1:1' }, env()).tls).toBeUndefined();
  });

  it.each(['', 'a:b', 'h:0', 'h:70000', '::1', 'ftp://h:1', 'a b:1'])('refuses the address %j', (text) => {
    expect(() => parseAddress(text)).toThrow('is not the address of a coordinator');
  });
});
