/** The notifier put on the coordinator's loop, users, repositories and vault. */
import type { Logger } from '../../shared/log.js';
import type { Project } from '../../shared/model/project.js';
import type { Directory, User } from '../access/directory.js';
import { Reach } from '../access/reach.js';
import type { Coordinator } from '../coordinator.js';
import type { ProjectRepositories } from '../source/project-repositories.js';
import type { Vault } from '../secrets/vault.js';
import type { Commits } from './commits.js';
import type { EndedRuns } from './ended-runs.js';
import { DeliveryTeller } from './delivery-teller.js';
import { GateTeller } from './gate-teller.js';
import { DeliveryHealth } from './health.js';
import { mailDeliverer, type MailOptions } from './mail-deliverer.js';
import { Notifier, usualPolicy } from './notifier.js';
import type { People } from './people.js';
import { Sender } from './sender.js';
import { webhookDeliverer } from './webhook-deliverer.js';

export interface FeedbackParts {
  readonly coordinator: () => Coordinator;
  readonly runs: EndedRuns;
  readonly directory: Pick<Directory, 'user' | 'users'>;
  readonly repositories: ProjectRepositories;
  readonly vault: Vault;
  /** Absent: no mail. */
  readonly mail?: Omit<MailOptions, 'timeoutMs' | 'totalMs' | 'ca'>;
  /** Authority of servers' certificates beside the well-known ones, PEM. */
  readonly ca?: string;
  readonly log: Logger;
}

export interface Feedback {
  readonly notifier: Notifier;
  readonly gate: GateTeller;
  readonly delivery: DeliveryTeller;
  readonly health: DeliveryHealth;
  readonly hasMail: boolean;
}

const mailTimes = { timeoutMs: 30_000, totalMs: 120_000 };
const webhookTimeoutMs = 10_000;

export function feedbackOf(parts: FeedbackParts): Feedback {
  const { coordinator, runs, directory, repositories, vault, mail, log } = parts;
  const wallMs = Date.now;
  const ca = parts.ca === undefined ? {} : { ca: parts.ca };
  const health = new DeliveryHealth();
  const sender = new Sender({
    ...(mail === undefined ? {} : { mail: mailDeliverer({ ...mail, ...ca, ...mailTimes }) }),
    webhook: webhookDeliverer({ ...ca, timeoutMs: webhookTimeoutMs, wallMs }),
    vault,
    health,
    wallMs,
  });
  const commits = commitsOf(coordinator, repositories);
  const admins = (project: Project): readonly string[] =>
    directory
      .users()
      .filter(({ role, projects }) => role === 'admin' && new Reach(projects).has(project.id))
      .map(({ name }) => name);
  const notifier = new Notifier({
    coordinator,
    runs,
    commits,
    people: (project) => peopleOf(directory, project),
    sender,
    policy: usualPolicy,
    log,
    wallMs,
  });
  const gate = new GateTeller({
    runs,
    people: (project) => ({
      ...peopleOf(directory, project),
      maintainers: () => admins(project),
    }),
    sender,
    policy: usualPolicy,
    log,
    wallMs,
  });
  const delivery = new DeliveryTeller({
    commits,
    people: (project) => ({ ...peopleOf(directory, project), deployers: () => admins(project) }),
    sender,
    policy: usualPolicy,
    log,
    wallMs,
  });
  return { notifier, gate, delivery, health, hasMail: mail !== undefined };
}

/** A user of other projects is nobody here: what is told holds code and logs. */
export function peopleOf(directory: Pick<Directory, 'user' | 'users'>, { id }: Pick<Project, 'id'>): People {
  const maySee = ({ projects }: User): boolean => new Reach(projects).has(id);
  return {
    addressesOf: (user) => {
      const found = directory.user(user);
      return found !== undefined && maySee(found) ? found.mails : [];
    },
    ownerOf: (address) =>
      directory.users().find((user) => user.mails.includes(address) && maySee(user))?.name,
  };
}

const commitsOf = (coordinator: () => Coordinator, repositories: ProjectRepositories): Commits => ({
  since: async ({ project, from, to }, signal) => {
    const found = await coordinator().read(({ state }) => state.projects.get(project)?.project);
    return found === undefined ? [] : repositories.of(found).since(from, to, signal);
  },
});
