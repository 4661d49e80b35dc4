/** The behaviour of a box's steps, for every executor. What only some can do is in the table `can` of its kind. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ExecutorError } from '../../agent/executor/executor.js';
import {
  command,
  ended,
  kinds,
  ran,
  readLog,
  start,
  until,
  untilLogged,
  Workbench,
  type Capabilities,
} from './executor-bench.js';

const exited = (exitCode: number) => ({ kind: 'exited', exitCode });

for (const kind of kinds) {
  describe(`executor ${kind.name}`, () => {
    let bench: Workbench;
    beforeAll(async () => {
      bench = await Workbench.open(kind);
      await bench.executor.check();
    });
    afterEach(() => bench.expectNothingLeft());
    afterAll(() => bench.close());

    /** A behaviour of those executors that can do what it needs. */
    const behaviour = (
      name: string,
      needs: readonly (keyof Capabilities)[],
      body: () => Promise<void>,
    ): void => {
      if (needs.every((need) => kind.can[need])) test(name, body);
    };

    describe('exit codes', () => {
      test.each([0, 1, 7, 126, 127, 137, 255])('exit %i is told as it is', async (code) => {
        const { box } = await bench.box();
        const { result, text } = await ran(box, command(1, `echo before; exit ${code}`));
        expect(result).toEqual({ exit: exited(code), logBytes: 7 });
        expect(text).toBe('before\n');
      });

      test('a signal is 128 and its number; a missing program is 127; one after the other in one box', async () => {
        const { box } = await bench.box();
        for (const [run, code] of [
          ['kill -9 $$', 137],
          ['kill -TERM $$', 143],
          ['no-such-program', 127],
          ['true', 0],
        ] as const) {
          const { result } = await ran(box, command(code, run));
          expect(result.exit, run).toEqual(exited(code));
        }
      });

      test('the first failing command of a script ends it; in bash one of a pipeline too', async () => {
        const { box } = await bench.box();
        expect(box.shell).toBe('bash');
        expect((await ran(box, command(1, 'echo a\nfalse\necho b'))).text).toBe('a\n');
        expect((await ran(box, command(2, 'false | cat\necho b'))).result.exit).toEqual(exited(1));
      });
    });

    describe('output', () => {
      test('stdout and stderr stand in the order written', async () => {
        const { box } = await bench.box();
        const { text } = await ran(box, command(1, 'for i in $(seq 500); do echo o$i; echo e$i >&2; done'));
        const expected = Array.from({ length: 500 }, (_, i) => `o${i + 1}\ne${i + 1}\n`).join('');
        expect(text).toBe(expected);
      });

      test('50 MB on one line, exact', async () => {
        const { box } = await bench.box();
        const { result, output } = await ran(box, command(1, "head -c 50000000 /dev/zero | tr '\\0' x"));
        expect(result).toEqual({ exit: exited(0), logBytes: 50_000_000 });
        expect(output.equals(Buffer.alloc(50_000_000, 'x'))).toBe(true);
      });

      test('1,000,000 numbered lines, exact, while they are followed', async () => {
        const { box } = await bench.box();
        const began = performance.now();
        const running = await start(box, command(1, 'seq 1000000'));
        const { output, result } = await ended(running);
        const seconds = (performance.now() - began) / 1000;
        console.info(
          `${kind.name}: ${(output.length / 1e6 / seconds).toFixed(0)} MB/s of lines, followed and read`,
        );
        expect(result.exit).toEqual(exited(0));
        const expected = `${Array.from({ length: 1_000_000 }, (_, i) => i + 1).join('\n')}\n`;
        expect(output.equals(Buffer.from(expected))).toBe(true);
      });

      test('binary and non-UTF-8 bytes come back as they are', async () => {
        const { box, spec } = await bench.box();
        const bytes = Buffer.from(Array.from({ length: 65_536 }, (_, i) => (i * 7919) & 255));
        await writeFile(join(spec.slot.workspace, 'bytes'), bytes);
        const { output } = await ran(box, command(1, 'cat bytes'));
        expect(output.equals(bytes)).toBe(true);
      });

      test('a last line without newline is whole, and no output at all is none', async () => {
        const { box } = await bench.box();
        expect((await ran(box, command(1, 'printf abc'))).text).toBe('abc');
        expect((await ran(box, command(2, ':'))).result.logBytes).toBe(0);
      });

      test('writing to /dev/stderr and /dev/stdout keeps the log', async () => {
        const { box } = await bench.box();
        const { text } = await ran(
          box,
          command(1, 'echo a; echo b >/dev/stderr; echo c | tee /dev/stderr; echo d >/dev/stdout; echo e'),
        );
        expect(text).toBe('a\nb\nc\nc\nd\ne\n');
      });

      test('a step that eats its stdin gets none, and the next step runs', async () => {
        const { box } = await bench.box();
        expect((await ran(box, command(1, 'cat; read -r x; echo "got:$x"'))).result.exit).toEqual(exited(1));
        expect((await ran(box, command(2, 'echo next'))).text).toBe('next\n');
      });

      test('more than the limit ends the step; what was kept is readable', async () => {
        const { box } = await bench.box();
        const { result, output } = await ran(box, command(1, 'yes', { logLimitBytes: 100_000 }));
        expect(result.exit).toEqual({
          kind: 'failed',
          failure: { kind: 'log-limit', step: 1, limitBytes: 100_000 },
        });
        expect(output.toString()).toBe('y\n'.repeat(50_000));
        expect((await ran(box, command(2, 'echo next'))).text).toBe('next\n');
      });
    });

    describe('what a step sees', () => {
      test('values with newlines, quotes, emoji and a dollar; names that no shell can export', async () => {
        const { box } = await bench.box();
        const env = {
          LINES_: 'a\nb\n',
          QUOTES: `'"\`\\`,
          EMOJI: '🏗️ é',
          DOLLAR: '$HOME $(id)',
          EMPTY: '',
          'a.b-c': 'dot ted',
        };
        const { output } = await ran(box, command(1, 'env -0', { env }));
        const seen = new Map(
          output
            .toString('utf8')
            .split('\0')
            .map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
        );
        expect(Object.fromEntries(Object.keys(env).map((name) => [name, seen.get(name)]))).toEqual(env);
        expect(seen.get('CI')).toBe('true');
      });

      test('starts in the workspace or below it, with umask 022 and a writable HOME', async () => {
        const { box } = await bench.box();
        const first = await ran(box, command(1, 'pwd; umask; mkdir sub; touch "$HOME/x"; test -O sub'));
        expect(first.text).toBe(`${box.workspacePath}\n0022\n`);
        expect((await ran(box, command(2, 'pwd', { workdir: 'sub' }))).text).toBe(
          `${box.workspacePath}/sub\n`,
        );
        const missing = await ran(box, command(3, 'pwd', { workdir: 'not here' }));
        expect(missing.result.exit).toEqual(exited(1));
        expect(missing.text).toContain('not here');
      });

      test('cd and export do not last, $GANTRY_ENV does, and lines that are none are told', async () => {
        const { box } = await bench.box();
        const write = String.raw`cd /; export LOST=1
printf 'KEPT=a=b c\n# comment\n\nnot a line\nSECOND=1\r\nGANTRY_ENV=/x\n' >>"$GANTRY_ENV"`;
        const { result } = await ran(box, command(1, write));
        expect(result.notes).toEqual([
          '$GANTRY_ENV line 4 was ignored: expected NAME=value',
          '$GANTRY_ENV line 6 was ignored: GANTRY_ENV cannot be changed',
        ]);
        expect(await box.readEnv()).toEqual({ KEPT: 'a=b c', SECOND: '1' });
        const next = await ran(
          box,
          command(2, 'pwd; echo "[$LOST][$KEPT]"; echo SECOND=2 >"$GANTRY_ENV"', {
            env: await box.readEnv(),
          }),
        );
        expect(next.text).toBe(`${box.workspacePath}\n[][a=b c]\n`);
        expect(await box.readEnv()).toEqual({ KEPT: 'a=b c', SECOND: '2' });
      });
    });

    describe('what a step leaves', () => {
      test('a daemon that holds stdout does not delay the end, and its late output is nobody’s', async () => {
        const { box } = await bench.box();
        const began = performance.now();
        const { result, text } = await ran(box, command(1, '(sleep 1; echo late; sleep 30) & echo done'));
        expect(performance.now() - began).toBeLessThan(900);
        expect(result.exit).toEqual(exited(0));
        expect(text).toBe('done\n');
        // It lives on for the next steps (a server under test), whose log it does not write to.
        const next = await ran(box, command(2, 'sleep 1.2; echo next'));
        expect(next.text).toBe('next\n');
      });

      test('files of a step under the names of its own executor are not followed', async () => {
        const { box, spec } = await bench.box();
        await writeFile(join(spec.slot.root, 'secret'), 'FORGED=1\n');
        const swap = `rm "$GANTRY_ENV"; ln -s ${join(spec.slot.root, 'secret')} "$GANTRY_ENV"; mkfifo "$(dirname "$GANTRY_ENV")/2.log"`;
        expect((await ran(box, command(1, swap))).result.exit).toEqual(exited(0));
        expect(await box.readEnv()).toEqual({});
        const fifo =
          'rm "$GANTRY_ENV"; mkfifo "$GANTRY_ENV"; for i in log exit pid env; do ln -s /etc/passwd "$(dirname "$GANTRY_ENV")/3.$i"; done';
        expect((await ran(box, command(2, fifo))).result.exit).toEqual(exited(0));
        expect(await box.readEnv()).toEqual({});
        expect((await ran(box, command(3, 'echo three'))).text).toBe('three\n');
      });
    });

    describe('ending', () => {
      test('terminate ends a step by TERM, within the grace', async () => {
        const { box } = await bench.box();
        const running = await start(
          box,
          command(1, 'trap "echo bye; exit 0" TERM; echo up; sleep 60 & wait'),
        );
        await untilLogged(running, 'up');
        await running.terminate(10_000);
        const { result, text } = await ended(running);
        expect(result.exit).toEqual({ kind: 'terminated' });
        expect(text).toBe('up\nbye\n');
      });

      test('a step that ignores TERM is killed after the grace, with what it started', async () => {
        const { box, spec } = await bench.box();
        const run = `trap '' TERM; (setsid sh -c 'while :; do date >beat; sleep 0.05; done' &) ; echo up; while :; do sleep 0.1; done`;
        const running = await start(box, command(1, run));
        await untilLogged(running, 'up');
        const beat = join(spec.slot.workspace, 'beat');
        await until(
          () =>
            readFile(beat).then(
              (text) => text.length > 0,
              () => false,
            ),
          'beating',
        );
        const began = performance.now();
        await Promise.all([running.terminate(300), running.terminate(300)]);
        expect(performance.now() - began).toBeGreaterThan(250);
        expect((await running.finished).exit).toEqual({ kind: 'terminated' });
        await writeFile(beat, 'stopped');
        await ran(box, command(2, 'sleep 0.3'));
        expect(await readFile(beat, 'utf8')).toBe('stopped');
        await running.log.close();
      });

      test('terminating what has ended changes nothing', async () => {
        const { box } = await bench.box();
        const running = await start(box, command(1, 'exit 3'));
        expect((await running.finished).exit).toEqual(exited(3));
        await running.terminate(0);
        expect((await ended(running)).result.exit).toEqual(exited(3));
      });

      test('one step at a time', async () => {
        const { box } = await bench.box();
        const running = await start(box, command(1, 'sleep 30'));
        await expect(start(box, command(2, 'true'))).rejects.toBeInstanceOf(ExecutorError);
        await running.terminate(0);
        await ended(running);
      });

      test('after freeze no file changes, whatever still ran', async () => {
        const { box, spec } = await bench.box();
        await ran(box, command(1, '(while :; do echo x >>grow; done) >/dev/null 2>&1 &'));
        const file = join(spec.slot.workspace, 'grow');
        await until(
          () =>
            readFile(file).then(
              (text) => text.length > 1000,
              () => false,
            ),
          'growing',
        );
        await box.freeze();
        await box.freeze();
        const before = await readFile(file);
        await new Promise((resolve) => setTimeout(resolve, 100));
        expect((await readFile(file)).length).toBe(before.length);
        await box.remove();
        await box.remove();
      });

      test('removing a box under its step tells that the box is broken, and keeps the log', async () => {
        const { box } = await bench.box();
        const running = await start(box, command(1, 'echo up; sleep 60'));
        await untilLogged(running, 'up');
        await bench.executor.sweep(new Set());
        const result = await running.finished;
        expect(result.exit).toMatchObject({ kind: 'failed', failure: { kind: 'box-broken' } });
        expect((await readLog(running, result.logBytes)).toString()).toBe('up\n');
        await expect(start(box, command(2, 'true'))).rejects.toMatchObject({
          failure: { kind: 'box-broken' },
        });
        await running.log.close();
      });

      test('sweep spares what is kept', async () => {
        const { box, spec } = await bench.box();
        await bench.executor.sweep(new Set([`${spec.ref.run}/1/1`]));
        expect((await ran(box, command(1, 'echo alive'))).text).toBe('alive\n');
      });

      test('a slot full of hostile names and depths is removed', async () => {
        const { box, spec } = await bench.box();
        // Two trees of 3,000 characters, one moved to the bottom of the other: longer than a path may be.
        const run = String.raw`w=$PWD; d=$(for i in $(seq 15); do printf '%0200d/' 0; done)
mkdir -p "$d" "tree/$d"; cd "$d"; mv "$w/tree" .; cd "$w"
touch -- "$(printf '\377\376 name')" 'a
b' '-rf'; mkdir closed; touch closed/in; chmod 000 closed; ln -s / root`;
        expect((await ran(box, command(1, run))).result.exit).toEqual(exited(0));
        await box.remove();
        await bench.executor.removeTree(spec.slot.root);
        await expect(readFile(join(spec.slot.root, 'box.json'))).rejects.toMatchObject({ code: 'ENOENT' });
      });
    });

    behaviour(
      'a step that kills all it can reach ends with 137, and the next one runs',
      ['isolation'],
      async () => {
        const { box } = await bench.box();
        const { result } = await ran(box, command(1, 'echo before; kill -9 -1; sleep 60'));
        expect(result.exit).toEqual(exited(137));
        expect(result.incomplete).toContain('output may be missing');
        expect((await ran(box, command(2, 'echo next'))).text).toBe('next\n');
      },
    );
  });
}
