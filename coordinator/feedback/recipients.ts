/**
 * Who is told of a run. Of one person one address: that of the commit, else the preferred one. Mail goes to addresses of
 * known users and of the domains that the project allows, and nowhere else: anybody can write any address into a commit.
 */
import { domainOfMail, parseMailAddress } from '../../shared/model/mail-address.js';
import type { NotifyRules, RunFacts } from '../../shared/model/pipeline.js';
import type { NewsKind, ProjectSettings } from '../../shared/model/project.js';
import { printable } from '../../shared/text/terminal-text.js';
import type { CommitLine } from './commits.js';
import type { People } from './people.js';
import { addressOfKey, type Target } from './target.js';

export interface Involved {
  readonly news: NewsKind;
  readonly facts: Pick<RunFacts, 'event' | 'trust' | 'by' | 'byAuthor' | 'author'>;
  readonly settings: Pick<ProjectSettings, 'mailDomains' | 'webhooks'>;
  /** Since the last green run, newest first; empty where that is not known. */
  readonly commits: readonly Pick<CommitLine, 'authorMail'>[];
  /** What the pipeline asks for. */
  readonly notify?: NotifyRules;
  /** Of `fixed`: targets that heard of the failure. */
  readonly told: readonly string[];
}

export interface Recipients {
  readonly targets: readonly Target[];
  /** Who would be told, and is not: the target as far as it is one, and why. */
  readonly dropped: readonly { readonly target: string | undefined; readonly reason: string }[];
}

/** More are not told of one run. */
export const maxTargets = 100;

export function recipientsOf(involved: Involved, people: People): Recipients {
  const list = new RecipientList(people, involved.settings.mailDomains);
  const { facts, notify, news } = involved;
  const isSubmitted = facts.event === 'submit' || facts.event === 'manual';
  if (!isSubmitted) {
    const authors = involved.commits.map(({ authorMail }) => authorMail);
    const tip = mailOfAuthor(facts.author);
    if (authors.length === 0 && tip !== undefined) authors.push(tip);
    for (const author of authors) list.addPerson(author, 'you wrote one of its commits');
  }
  // An author is known by the address of the commit alone.
  if (facts.byAuthor !== true)
    list.addUser(facts.by, isSubmitted ? 'you asked for this run' : 'you pushed it');
  // A tree that somebody sent by hand is that person's business: its pipeline tells nobody else.
  const rules = facts.trust === 'branch' ? notify : undefined;
  const isRule = rules?.when.includes(news) === true;
  for (const key of news === 'fixed' ? involved.told : []) {
    const address = addressOfKey(key);
    const isByRule = address !== undefined && rules?.mail.some((mail) => mail === address) === true;
    if (address !== undefined && !isByRule) list.addPerson(address, 'you were told of the failure');
  }
  if (rules !== undefined && isRule) {
    for (const mail of rules.mail) list.addAddress(mail, 'the pipeline’s `notify` names you');
    for (const name of rules.webhooks) list.addWebhook(name, involved.settings.webhooks);
  }
  return list;
}

/** Of `Name <address>`, as facts have it; the name may hold anything. */
export const mailOfAuthor = (author: string | undefined): string | undefined =>
  /<([^<>]*)>$/.exec(author ?? '')?.[1];

class RecipientList implements Recipients {
  readonly targets: Target[] = [];
  readonly dropped: { readonly target: string | undefined; readonly reason: string }[] = [];
  readonly #people: People;
  readonly #domains: readonly string[];
  /** Addresses, names of users and webhooks that were dealt with. */
  readonly #seen = new Set<string>();

  constructor(people: People, domains: readonly string[]) {
    this.#people = people;
    this.#domains = domains;
  }

  /** A person by an address, unless the person is told already at another one. */
  addPerson(text: string, because: string): void {
    const address = parseMailAddress(text);
    const owner = address === undefined ? undefined : this.#people.ownerOf(address);
    if (owner !== undefined && this.#seen.has(`user ${owner}`)) return;
    this.addAddress(text, because);
  }

  /** A user by name; a name that is none (an author's, say) is nobody's. */
  addUser(user: string, because: string): void {
    const [preferred] = this.#people.addressesOf(user);
    if (preferred !== undefined) this.addPerson(preferred, because);
  }

  addAddress(text: string, because: string): void {
    if (!this.#isNew(`mail ${text}`)) return;
    const address = parseMailAddress(text);
    if (address === undefined) {
      this.#drop(undefined, `${quoted(text)} is no mail address`);
      return;
    }
    const owner = this.#people.ownerOf(address);
    if (owner !== undefined) this.#seen.add(`user ${owner}`);
    if (!this.#isNew(`address ${address}`)) return;
    const target = `mail:${address}`;
    if (owner === undefined && !this.#domains.includes(domainOfMail(address))) {
      this.#drop(
        target,
        `${address} is not the address of a known user, and the project allows no mail to ${domainOfMail(address)}`,
      );
    } else this.#add(target, { kind: 'mail', address, because });
  }

  addWebhook(name: string, known: ProjectSettings['webhooks']): void {
    if (!this.#isNew(`webhook ${name}`)) return;
    const target = `webhook:${name}`;
    if (known.some((webhook) => webhook.name === name)) this.#add(target, { kind: 'webhook', name });
    else this.#drop(target, `the project has no webhook ${quoted(name)}`);
  }

  #add(key: string, target: Target): void {
    if (this.targets.length < maxTargets) this.targets.push(target);
    else this.#drop(key, `more than ${maxTargets} would be told of this run`);
  }

  #drop(target: string | undefined, reason: string): void {
    if (this.dropped.length < maxTargets) this.dropped.push({ target, reason });
  }

  #isNew(key: string): boolean {
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    return true;
  }
}

const quoted = (text: string): string => JSON.stringify(Array.from(printable(text)).slice(0, 100).join(''));
