/**
 * Everything on one machine, in the foreground: start or adopt the daemons in order, wait until runs can be submitted,
 * keep them running, and stop them in reverse when asked to.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { sleep } from '../../../shared/async/sleep.js';
import { gantryVersion } from '../../../shared/version.js';
import { openKeys } from '../../access/keys.js';
import { issueToken } from '../../access/tokens.js';
import { initNats } from '../../fleet/nats-credentials.js';
import { CliError, messageOf } from '../cli-error.js';
import { contextsFile, type Context } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { connect } from '../grpc-client.js';
import { ownToken } from '../user-token.js';
import { addContext } from './add-context.js';
import { Daemon, endProcess, type DaemonSpec } from './daemon.js';
import { lastLines, logFileOf, rotateLog } from './log-file.js';
import { takeLock } from './lock.js';
import type { UpOptions } from './options.js';
import { portHeldBy } from './port-holder.js';
import { choosePorts, explainLoss, isFree, noPorts, PortLost, portTitles } from './ports.js';
import { identityOf, isAlive, type ProcessIdentity } from './process-identity.js';
import { accepts, agentsReady, answers, hostOf, httpAnswers, natsAnswers, tlsOf } from './ready.js';
import { findNatsServer, requireDocker } from './requirements.js';
import {
  addressesOf,
  agentSpec,
  coordinatorSpec,
  installation,
  natsSpec,
  storageSpec,
  type Addresses,
  type SpecInput,
} from './specs.js';
import {
  readUpFile,
  writeUpFile,
  type PortName,
  type Ports,
  type Ready,
  type RecordedDaemon,
  type UpFile,
} from './up-file.js';

export interface UpWords {
  /** A line of progress for people. */
  progress(text: string): void;
  /** Once, when runs can be submitted. */
  ready(ready: Ready): void;
}

const startDeadlineMs = 90_000;
const rotateEveryMs = 10_000;
/** A daemon that dies so often while starting will not start. */
const tooManyExits = 4;
/** Free ports are chosen by chance out of thousands: who loses them so often has another problem. */
const tooManyLosses = 5;

/** Resolves when the signal has aborted and everything is stopped. Throws `CliError` when it cannot start; then all is stopped too. */
export async function runUp(options: UpOptions, words: UpWords, signal: AbortSignal): Promise<void> {
  mkdirSync(options.data.root, { recursive: true, mode: 0o700 });
  const lock = takeLock(options.data.lockFile);
  if (lock.kind === 'taken') {
    throw new CliError(
      exitCodes.refused,
      `\`gantry up\` runs already for ${options.data.root} (pid ${lock.by.pid})`,
      {
        remedies: ['use it as it is, stop it with `gantry down`, or give another --data DIR'],
      },
    );
  }
  const up = new Up(options, words, signal);
  try {
    await up.start();
    await up.keepRunning();
  } finally {
    await up.stop();
    lock.release();
  }
}

class Up {
  #daemons: Daemon[] = [];
  #file: UpFile;
  #failed: CliError | PortLost | undefined;
  /** Of an earlier start: contexts and agents elsewhere know them. */
  readonly #kept: Ports | undefined;

  constructor(
    private readonly options: UpOptions,
    private readonly words: UpWords,
    private readonly signal: AbortSignal,
  ) {
    const recorded = readUpFile(options.data.upFile);
    this.#kept = (recorded?.ports.grpc ?? 0) === 0 ? undefined : recorded?.ports;
    this.#file = {
      v: 1,
      supervisor: identityOf(process.pid) ?? null,
      ports: recorded?.ports ?? noPorts,
      daemons: (recorded?.daemons ?? []).filter(isAlive),
      ready: null,
    };
  }

  /** A port that was lost between choosing and listening costs a new start on other ones. */
  async start(): Promise<void> {
    const { options } = this;
    if (options.executor === 'docker' && options.agents > 0) await requireDocker();
    const natsServer = options.nats === undefined ? await findNatsServer() : '';
    for (let losses = 0; ; losses += 1) {
      try {
        await this.#startOn(await this.#choosePorts(losses > 0), natsServer);
        return;
      } catch (error) {
        if (!(error instanceof PortLost)) throw error;
        if (!this.#mayMove(error) || losses === tooManyLosses) throw explainLoss(error, options.askedPorts);
        this.words.progress(`${error.message}; starting on other ports`);
        await this.#stopDaemons();
        this.#failed = undefined;
      }
    }
  }

  async #startOn(ports: Ports, natsServer: string): Promise<void> {
    const { options } = this;
    this.#record({ ports, daemons: this.#file.daemons.filter(isAlive) });
    const addresses = addressesOf(options, ports);
    const keys = await openKeys(options.keys);
    const nats = options.nats === undefined ? await this.#initNats(ports) : undefined;
    const input: SpecInput = {
      options,
      ports,
      install: installation(gantryVersion()),
      natsServer,
      natsConfig: nats?.configFile ?? '',
      env: process.env,
      joinToken: () =>
        issueToken(keys.tokenKey, {
          kind: 'join',
          id: `up-${Date.now()}`,
          by: 'up',
          labels: [],
          projects: [],
          expires: Math.floor(Date.now() / 1000) + 24 * 3600,
        }),
    };
    const agents = Array.from({ length: options.agents }, (_, i) => agentSpec(input, i + 1));
    const stores = [
      ...(nats === undefined ? [] : [natsSpec(input, readFileSync(nats.configFile, 'utf8'))]),
      ...(options.s3 === undefined ? [storageSpec(input)] : []),
    ];
    const coordinator = coordinatorSpec(input);
    await this.#endStrangers([...stores, coordinator, ...agents]);

    for (const spec of stores) this.#launch(spec);
    await this.#await(
      'nats',
      async () =>
        nats === undefined ||
        this.#answers('nats', 'nats', () => natsAnswers(hostOf(addresses.local.nats), ports.nats)),
    );
    await this.#await('storage', () => this.#answers('storage', 's3', () => httpAnswers(addresses.local.s3)));
    // Agents ask again until the coordinator answers; meanwhile they prove that they can run stages.
    for (const spec of [coordinator, ...agents]) this.#launch(spec);
    const context = this.#context(addresses, ownToken(keys));
    const api = connect({
      address: context.coordinator,
      token: context.token,
      from: 'up',
      ...tlsOf(context),
    });
    try {
      const host = hostOf(`http://${addresses.local.grpc}`);
      // Before the token is shown to it.
      const listens = (name: 'grpc' | 'http'): Promise<boolean> =>
        this.#answers('coordinator', name, () => accepts(host, ports[name]));
      await this.#await(
        'coordinator',
        async () => (await listens('grpc')) && (await answers(api)) && (await listens('http')),
      );
      await this.#await(options.agents === 1 ? 'agent' : 'agents', () => agentsReady(api, options.agents));
    } finally {
      api.close();
    }
    await addContext(contextsFile(process.env), this.options.data.contextName, context);
    this.#announce(addresses);
  }

  async keepRunning(): Promise<void> {
    while (!this.signal.aborted) {
      for (const daemon of this.#daemons) {
        if (rotateLog(this.options.data.logs, daemon.spec.name))
          this.words.progress(`log of ${daemon.spec.name} rotated`);
      }
      try {
        await sleep(rotateEveryMs, this.signal);
      } catch {
        return; // asked to stop
      }
    }
  }

  async stop(): Promise<void> {
    const some = this.#daemons.length > 0;
    if (some) this.words.progress('stopping');
    await this.#stopDaemons();
    // What an earlier `up` left and this one did not get to adopt stays on record.
    // Nobody was told the ports of a start that failed, so the next one is not held to them.
    const ports = this.#file.ready === null ? (this.#kept ?? noPorts) : this.#file.ports;
    this.#record({ supervisor: null, ports, daemons: this.#file.daemons.filter(isAlive), ready: null });
    if (some) this.words.progress('stopped');
  }

  async #stopDaemons(): Promise<void> {
    const agents = this.#daemons.filter((daemon) => daemon.spec.terminations === 2);
    const others = this.#daemons.filter((daemon) => daemon.spec.terminations === 1).reverse();
    this.#daemons = [];
    await Promise.all(agents.map((daemon) => daemon.stop()));
    for (const daemon of others) await daemon.stop();
  }

  async #choosePorts(contested: boolean): Promise<Ports> {
    const alive = new Set(this.#file.daemons.filter(isAlive).map((daemon) => daemon.name));
    const adopted = new Set<PortName>([
      ...(alive.has('coordinator') ? (['grpc', 'http'] as const) : []),
      ...(alive.has('nats') ? (['nats'] as const) : []),
      ...(alive.has('storage') ? (['s3'] as const) : []),
    ]);
    const { ports, moved } = await choosePorts({
      host: this.options.host,
      asked: this.options.askedPorts,
      recorded: this.#kept,
      adopted,
      contested,
    });
    for (const name of moved) this.words.progress(`port ${portTitles[name]} is taken; using ${ports[name]}`);
    return ports;
  }

  #mayMove({ portName }: PortLost): boolean {
    return this.#kept === undefined && (this.options.askedPorts[portName] ?? 0) === 0;
  }

  /** Whether a daemon listens: who answers on its port may be somebody else, who took it first. Throws PortLost. */
  async #answers(daemon: string, name: PortName, ask: () => Promise<boolean>): Promise<boolean> {
    if (!(await ask())) return false;
    const identity = this.#daemons.find(({ spec }) => spec.name === daemon)?.identity;
    if (identity === undefined) return true; // an existing one is used
    const heldBy = portHeldBy(this.#file.ports[name], identity);
    if (heldBy === 'somebody else') throw new PortLost(name, this.#file.ports[name]);
    return heldBy !== 'nobody';
  }

  async #initNats(ports: Ports): Promise<{ readonly configFile: string }> {
    const { data, host, advertise, tls } = this.options;
    try {
      return await initNats(data.root, {
        listenHost: host,
        port: ports.nats,
        storeDir: data.natsStore,
        ...(advertise === host ? {} : { advertise: `${advertise}:${ports.nats}` }),
        ...(tls === undefined ? {} : { tls: { certFile: tls.cert, keyFile: tls.key } }),
      });
    } catch (error) {
      throw new CliError(exitCodes.refused, `the keys in ${data.keys} cannot be used: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  /** What an earlier `up` left and this one does not want, or wants otherwise. */
  async #endStrangers(wanted: readonly DaemonSpec[]): Promise<void> {
    const digests = new Map(wanted.map((spec) => [spec.name, spec.digest]));
    const strangers = this.#file.daemons.filter((daemon) => digests.get(daemon.name) !== daemon.digest);
    for (const daemon of strangers.reverse()) {
      this.words.progress(`stopping ${daemon.name} of an earlier start`);
      // An agent that is started anew with other options takes its boxes over; one that is gone for good ends them.
      await endProcess(daemon, daemon.name.startsWith('agent-') && !digests.has(daemon.name) ? 2 : 1);
    }
    this.#record({ daemons: this.#file.daemons.filter((daemon) => !strangers.includes(daemon)) });
  }

  #launch(spec: DaemonSpec): void {
    const adopted = this.#file.daemons.find((daemon) => daemon.name === spec.name && isAlive(daemon));
    const daemon = new Daemon(spec, this.options.data.logs, {
      started: (of, identity) => this.#recordDaemon(of, identity),
      exited: (of, how, exits) => this.#onExit(of, how, exits),
    });
    this.#daemons.push(daemon);
    if (adopted !== undefined) this.words.progress(`${spec.name} runs still (pid ${adopted.pid})`);
    daemon.start(adopted);
  }

  #onExit(spec: DaemonSpec, how: string, exits: number): void {
    this.words.progress(`${spec.name} ended (${how}); starting it again`);
    void this.#lookAtPorts(spec);
    if (this.#file.ready !== null || exits < tooManyExits) return;
    this.#failed ??= new CliError(exitCodes.ours, `${spec.name} does not start (${how})`, {
      remedies: [
        ...lastLines(this.options.data.logs, spec.name),
        `its whole log: ${logFileOf(this.options.data.logs, spec.name)}`,
      ],
    });
  }

  /** A daemon that cannot listen ends; whatever it says of that, the port tells it best. Never rejects. */
  async #lookAtPorts(spec: DaemonSpec): Promise<void> {
    for (const [name, port] of Object.entries(spec.listens) as readonly (readonly [PortName, number])[]) {
      if (await isFree(this.options.host, port)) continue;
      const daemon = this.#daemons.find((one) => one.spec === spec);
      // Stopped meanwhile, or started again already.
      if (daemon?.identity === undefined || portHeldBy(port, daemon.identity) === 'itself') continue;
      const loss = new PortLost(name, port);
      if (this.#file.ready === null) this.#failed ??= loss;
      else this.words.progress(`${loss.message}; ${spec.name} waits for it`);
    }
  }

  async #await(what: string, ready: () => Promise<boolean>): Promise<void> {
    const began = Date.now();
    let said = false;
    for (;;) {
      if (this.signal.aborted) throw new CliError(exitCodes.interrupted, 'interrupted while starting');
      if (this.#failed !== undefined) throw this.#failed;
      if (await ready()) break;
      const waited = Date.now() - began;
      if (!said && waited > 1500) {
        this.words.progress(`waiting for ${what} …`);
        said = true;
      }
      if (waited > startDeadlineMs) {
        throw new CliError(exitCodes.ours, `${what}: not ready after ${startDeadlineMs / 1000} s`, {
          remedies: [
            `logs: ${this.options.data.logs}`,
            '`gantry doctor` says what is missing on this machine',
          ],
        });
      }
      await sleep(25);
    }
    this.words.progress(`${what} ready after ${((Date.now() - began) / 1000).toFixed(1)} s`);
  }

  #context(addresses: Addresses, token: string): Context {
    const { tls } = this.options;
    return {
      coordinator: addresses.local.grpc,
      token,
      ...(tls === undefined
        ? {}
        : tls.ca === undefined
          ? { tls: true }
          : { ca: readFileSync(tls.ca, 'utf8') }),
    };
  }

  #announce(addresses: Addresses): void {
    const ready: Ready = {
      ready: true,
      grpc: addresses.grpc,
      http: addresses.http,
      nats: addresses.nats,
      s3: addresses.s3,
      daemons: this.#daemons.map((daemon) => ({ name: daemon.spec.name, pid: daemon.identity?.pid ?? 0 })),
    };
    this.#record({ ready });
    this.words.ready(ready);
  }

  #recordDaemon(spec: DaemonSpec, { pid, started }: ProcessIdentity): void {
    const entry: RecordedDaemon = { name: spec.name, pid, started, digest: spec.digest };
    const daemons = [...this.#file.daemons.filter((daemon) => daemon.name !== spec.name), entry];
    const ready = this.#file.ready;
    this.#record({
      daemons,
      ready:
        ready === null
          ? null
          : { ...ready, daemons: daemons.map((daemon) => ({ name: daemon.name, pid: daemon.pid })) },
    });
  }

  #record(change: Partial<UpFile>): void {
    this.#file = { ...this.#file, ...change };
    writeUpFile(this.options.data.upFile, this.#file);
  }
}
