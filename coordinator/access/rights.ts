/**
 * THE TABLE: who may call which method of the API. `api/grpc-door.ts` asks it before every call, and the methods are
 * those of `proto/gantry/v1`: one that is missing here does not compile, and `test/e2e/access-table.test.ts` holds the
 * running server to it.
 */
import type { AccessHandlers } from '../../shared/wire/gen/gantry/v1/Access.js';
import type { AgentLinkHandlers } from '../../shared/wire/gen/gantry/v1/AgentLink.js';
import type { EnvironmentsHandlers } from '../../shared/wire/gen/gantry/v1/Environments.js';
import type { FleetHandlers } from '../../shared/wire/gen/gantry/v1/Fleet.js';
import type { GateHandlers } from '../../shared/wire/gen/gantry/v1/Gate.js';
import type { ProjectsHandlers } from '../../shared/wire/gen/gantry/v1/Projects.js';
import type { RunsHandlers } from '../../shared/wire/gen/gantry/v1/Runs.js';

/** What a person (or a script with a person's token) may do; each includes those before it. */
export const rights = ['read', 'write', 'admin'] as const;
export type Right = (typeof rights)[number];

/** More come later; each is the right that its tokens may have at most. */
export const roles = ['developer', 'admin'] as const;
export type Role = (typeof roles)[number];
export const rightOfRole: Readonly<Record<Role, Right>> = { developer: 'write', admin: 'admin' };

export const includes = (has: Right, wanted: Right): boolean => rights.indexOf(has) >= rights.indexOf(wanted);
export const lesser = (a: Right, b: Right): Right => (includes(a, b) ? b : a);

/**
 * `about` says what a caller who is limited to some projects gets:
 *   projects       only what belongs to those; the handler must ask for the caller's `reach`, or the call fails
 *   nothing        the same as everybody
 *   installation   nothing: whoever may change what concerns all projects is limited to none
 */
export type Rule =
  | {
      readonly who: 'people';
      readonly right: Right;
      readonly about: 'projects' | 'nothing' | 'installation';
    }
  /** A registered agent by its own key. Which attempt it may speak of is its lease's to say. */
  | { readonly who: 'agent' }
  /** A join token, or the key of an agent that was registered before. */
  | { readonly who: 'join' };

const read = { who: 'people', right: 'read', about: 'projects' } as const;
const write = { who: 'people', right: 'write', about: 'projects' } as const;
const admin = { who: 'people', right: 'admin', about: 'projects' } as const;
const readOwn = { who: 'people', right: 'read', about: 'nothing' } as const;
const writeOwn = { who: 'people', right: 'write', about: 'nothing' } as const;
const installation = { who: 'people', right: 'admin', about: 'installation' } as const;
const agent = { who: 'agent' } as const;
const join = { who: 'join' } as const;

/** Names of an interface's methods without its index signature. */
type MethodOf<Handlers> = keyof {
  [Name in keyof Handlers as string extends Name ? never : number extends Name ? never : Name]: true;
} &
  string;

export interface ServiceHandlers {
  readonly Runs: RunsHandlers;
  readonly Projects: ProjectsHandlers;
  readonly Gate: GateHandlers;
  readonly Environments: EnvironmentsHandlers;
  readonly Access: AccessHandlers;
  readonly Fleet: FleetHandlers;
  readonly AgentLink: AgentLinkHandlers;
}
export type Service = keyof ServiceHandlers;
export type Method<S extends Service> = MethodOf<ServiceHandlers[S]>;

export const table = {
  Runs: {
    // A bundle in storage belongs to nobody: which project it becomes a run of is said, and checked, by Submit.
    PrepareSource: writeOwn,
    Submit: write,
    Show: read,
    List: read,
    Watch: read,
    Logs: read,
    Why: read,
    Cancel: write,
    Retry: write,
    Artifacts: read,
    ListAgents: read,
    DrainAgent: installation,
    CreateJoinToken: installation,
    Diagnose: readOwn,
  },
  Projects: {
    Add: admin,
    Set: admin,
    Remove: admin,
    Show: read,
    List: read,
    Poll: write,
    Run: write,
    Hook: admin,
    Deliveries: read,
    SetSecret: admin,
    ListSecrets: admin,
    RemoveSecret: admin,
  },
  Gate: {
    Land: write,
    List: read,
    Show: read,
    Eject: write,
    Pause: admin,
    Resume: admin,
    Protect: admin,
  },
  // Whoever may deploy is an admin, and for approving whomever the environment names.
  Environments: {
    Add: admin,
    Set: admin,
    Remove: admin,
    List: read,
    Show: read,
    Diff: read,
    Hold: admin,
    Resume: admin,
    Settle: admin,
    // Who is neither named by the environment nor an admin is refused: see api/approve.ts.
    Approve: write,
    Reject: write,
    Rollback: admin,
  },
  Access: {
    AddUser: installation,
    SetUser: installation,
    RemoveUser: installation,
    ListUsers: installation,
    // For oneself, and no more than the calling token may; for others as admin: see grpc-access.ts.
    CreateToken: writeOwn,
    ListTokens: readOwn,
    RevokeToken: writeOwn,
    Audit: admin,
    WhoAmI: readOwn,
  },
  Fleet: { Register: join, Renew: agent, Presign: agent, FinishUpload: agent, Secrets: agent },
  AgentLink: { Open: agent },
} as const satisfies { readonly [S in Service]: Readonly<Record<Method<S>, Rule>> };

export type Table = typeof table;
/** The rule of one method, as a type: what its handler is given depends on it. */
export type RuleOf<S extends Service, M extends Method<S>> = M extends keyof Table[S]
  ? Table[S][M] extends Rule
    ? Table[S][M]
    : never
  : never;
