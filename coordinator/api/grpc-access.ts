/** The service `Access`: users, their tokens, and what was done by whom. */
import type { Token as TokenMessage } from '../../shared/wire/gen/gantry/v1/Token.js';
import type { User as UserMessage } from '../../shared/wire/gen/gantry/v1/User.js';
import type { UserCaller } from '../access/caller.js';
import type { AccessToken, User } from '../access/directory.js';
import { makeDirectoryToken } from '../access/tokens.js';
import { mailsOf, noteOf, projectNames, roleOf, scopeOf, userName } from './access-fields.js';
import { ApiError } from './api-error.js';
import { audited } from './audit.js';
import { auditPage } from './audit-page.js';
import { guard, type Guarded } from './grpc-door.js';
import { isAdministrator, termsOf } from './new-token.js';
import type { Services } from './services.js';

export function grpcAccess(services: Services): Guarded<'Access'> {
  const { directory } = services;
  const named = async (texts: readonly string[]): Promise<readonly string[]> =>
    projectNames(
      texts,
      await services.coordinator.read(({ state }) =>
        [...state.projects.values()].map(({ project }) => project),
      ),
    );
  const known = (name: string | undefined): User => {
    const user = directory.user(name ?? '');
    if (user === undefined) throw noUser(name ?? '');
    return user;
  };

  return guard(services, 'Access', {
    AddUser: async (request, { user: caller }) => {
      const name = userName(request.name);
      const user: User = {
        name,
        role: roleOf(request.role),
        mails: mailsOf(request.mails ?? [], name, directory),
        maySeeSecrets: request.mayUseSecrets ?? false,
        projects: await named(request.projects ?? []),
        createdAt: Date.now(),
        createdBy: caller.name,
      };
      const exists = (): ApiError =>
        new ApiError('refused', `user ${name} exists already: change them with gantry users set ${name}`);
      if (directory.user(name) !== undefined) throw exists();
      const deed = { by: caller.name, action: 'user.add', subject: name, detail: userText(user) };
      await audited(services, deed, async () => {
        if ((await directory.addUser(user)) === 'exists') throw exists();
      });
      return userMessage(user);
    },
    SetUser: async (request, { user: caller }) => {
      const { name } = known(request.name);
      const change = {
        ...(request.role === undefined || request.role === '' ? {} : { role: roleOf(request.role) }),
        ...(request.setMails === true ? { mails: mailsOf(request.mails ?? [], name, directory) } : {}),
        ...(request.mayUseSecrets === undefined ? {} : { maySeeSecrets: request.mayUseSecrets }),
        ...(request.setProjects === true ? { projects: await named(request.projects ?? []) } : {}),
      };
      if (Object.keys(change).length === 0) {
        throw new ApiError(
          'invalid',
          `nothing to change of user ${name}: give a role, mails, projects or secrets`,
        );
      }
      const deed = { by: caller.name, action: 'user.set', subject: name, detail: userText(change) };
      const changed = await audited(services, deed, async () => {
        const user = await directory.changeUser(name, change);
        if (user === undefined) throw noUser(name);
        return user;
      });
      return userMessage(changed);
    },
    RemoveUser: async (request, { user: caller }) => {
      const { name } = known(request.name);
      const tokens = await audited(
        services,
        { by: caller.name, action: 'user.remove', subject: name },
        async () => {
          const ended = await directory.removeUser(name, Date.now());
          if (ended === undefined) throw noUser(name);
          return ended;
        },
      );
      return { tokens };
    },
    ListUsers: () => ({ users: directory.users().map(userMessage) }),
    CreateToken: async (request, { user: caller }) => {
      const isOwn = request.user === undefined || request.user === '' || request.user === caller.name;
      // Who may not see other users learns nothing of whom there are.
      if (!isOwn && !isAdministrator(caller)) {
        throw new ApiError('forbidden', 'a token for somebody else can be made by an admin only');
      }
      const user = isOwn ? ownUser(services, caller) : known(request.user);
      const now = Date.now();
      const seconds = request.validSeconds ?? 0;
      const wish = {
        user,
        scope: request.scope === undefined || request.scope === '' ? undefined : scopeOf(request.scope),
        projects: await named(request.projects ?? []),
        lifetime: request.neverExpires === true ? 'never' : seconds === 0 ? 'default' : { seconds },
      } as const;
      const { text, id, hash } = makeDirectoryToken();
      const token: AccessToken = {
        id,
        user: user.name,
        hash,
        ...termsOf(wish, caller, now),
        createdAt: now,
        createdBy: caller.name,
        note: noteOf(request.note),
      };
      const deed = { by: caller.name, action: 'token.create', subject: id, detail: tokenText(token) };
      await audited(services, deed, async () => {
        if ((await directory.addToken(token)) === 'no-user') throw noUser(user.name);
      });
      return { text, token: tokenMessage(token) };
    },
    ListTokens: (request, { user: caller }) => {
      const wanted = request.user ?? '';
      if (wanted !== '' && wanted !== caller.name && !isAdministrator(caller)) {
        throw new ApiError('forbidden', 'tokens of somebody else are shown to an admin only');
      }
      const only = wanted === '' && !isAdministrator(caller) ? caller.name : wanted;
      const tokens = directory.tokens().filter(({ user }) => only === '' || user === only);
      return { tokens: tokens.map(tokenMessage) };
    },
    RevokeToken: async (request, { user: caller }) => {
      const id = request.id ?? '';
      const gone = (): ApiError => new ApiError('not-found', `there is no token ${id}: see gantry tokens ls`);
      const token = directory.token(id);
      if (token === undefined || token.ended !== undefined) throw gone();
      if (token.user !== caller.name && !isAdministrator(caller)) throw gone();
      const deed = { by: caller.name, action: 'token.revoke', subject: id, detail: `of ${token.user}` };
      await audited(services, deed, async () => {
        if ((await directory.revokeToken(id, Date.now())) === undefined) throw gone();
      });
      return {};
    },
    Audit: (request, { reach }) =>
      auditPage(
        services.audit,
        {
          by: request.by ?? '',
          project: request.project ?? '',
          action: request.action ?? '',
          limit: request.limit ?? 0,
          cursor: request.cursor ?? '',
        },
        reach,
      ),
    WhoAmI: (_request, { user }) => ({
      name: user.name,
      role: user.role,
      scope: user.right,
      projects: [...(user.reach.names ?? [])],
      expiresAt: user.expiresAt === undefined ? '' : iso(user.expiresAt),
    }),
  });
}

/** The owner is in no directory until they add themselves. */
function ownUser({ directory }: Services, caller: UserCaller): User {
  const user = directory.user(caller.name);
  if (user !== undefined) return user;
  throw new ApiError(
    'not-found',
    `your token is the owner’s, which belongs to no user: name one with --user, or add yourself: gantry users add ${caller.name} --role admin`,
  );
}

const noUser = (name: string): ApiError =>
  new ApiError('not-found', `there is no user ${name}: see gantry users ls`);

const iso = (ms: number): string => new Date(ms).toISOString();

const userMessage = (user: User): UserMessage => ({
  name: user.name,
  role: user.role,
  mails: [...user.mails],
  mayUseSecrets: user.maySeeSecrets,
  projects: [...user.projects],
  createdAt: iso(user.createdAt),
  createdBy: user.createdBy,
});

const tokenMessage = (token: AccessToken): TokenMessage => ({
  id: token.id,
  user: token.user,
  scope: token.scope,
  projects: [...token.projects],
  createdAt: iso(token.createdAt),
  createdBy: token.createdBy,
  expiresAt: token.expiresAt === undefined ? '' : iso(token.expiresAt),
  lastUsedAt: token.lastUsedAt === undefined ? '' : iso(token.lastUsedAt),
  note: token.note,
});

/** For the audit: what was given or changed. */
const userText = (user: Partial<Pick<User, 'role' | 'mails' | 'maySeeSecrets' | 'projects'>>): string =>
  [
    user.role,
    user.mails && `mails ${user.mails.join(' ') || 'none'}`,
    user.projects && `projects ${user.projects.join(' ') || 'all'}`,
    user.maySeeSecrets === undefined ? undefined : user.maySeeSecrets ? 'may use secrets' : 'no secrets',
  ]
    .filter((part) => part !== undefined)
    .join(', ')
    .slice(0, 1_000);

const tokenText = (token: AccessToken): string =>
  [
    `for ${token.user}`,
    token.scope,
    token.projects.length === 0 ? 'all projects' : token.projects.join(' '),
    token.expiresAt === undefined ? 'never expires' : `until ${iso(token.expiresAt)}`,
  ]
    .join(', ')
    .slice(0, 1_000);
