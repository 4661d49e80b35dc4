/** What requests about users and tokens carry, read and checked. All throw ApiError `invalid` with what was expected. */
import { RepositoryUrlError, normalizeRepositoryUrl } from '../../shared/git/repository-url.js';
import { namePattern } from '../../shared/model/ids.js';
import { parseMailAddress, type MailAddress } from '../../shared/model/mail-address.js';
import type { Project } from '../../shared/model/project.js';
import type { Directory } from '../access/directory.js';
import { rights, roles, type Right, type Role } from '../access/rights.js';
import { ApiError } from './api-error.js';

const maxMails = 20;
const maxProjects = 100;
const maxProjectLength = 500;
const maxNote = 200;

const invalid = (message: string): ApiError => new ApiError('invalid', message);

export function userName(text: string | undefined): string {
  if (text !== undefined && namePattern.test(text)) return text;
  throw invalid(
    `user ${JSON.stringify(text ?? '')}: expected a name of letters, digits, . _ -, at most 64, beginning with a letter or digit`,
  );
}

export function roleOf(text: string | undefined): Role {
  const role = roles.find((one) => one === text);
  if (role !== undefined) return role;
  throw invalid(`role ${JSON.stringify(text ?? '')}: expected ${roles.join(' or ')}`);
}

export function scopeOf(text: string): Right {
  const scope = rights.find((one) => one === text);
  if (scope !== undefined) return scope;
  throw invalid(`scope ${JSON.stringify(text)}: expected ${rights.join(', ')}`);
}

/** An address belongs to one user, so that it says who somebody is. */
export function mailsOf(
  texts: readonly string[],
  user: string,
  directory: Pick<Directory, 'users'>,
): readonly MailAddress[] {
  if (texts.length > maxMails)
    throw invalid(`${texts.length} mail addresses: a user has at most ${maxMails}`);
  const mails = texts.map((text) => {
    const mail = parseMailAddress(text.trim());
    if (mail !== undefined) return mail;
    throw invalid(
      `mail ${JSON.stringify(text)}: expected one address such as ann@example.org, without a name`,
    );
  });
  for (const mail of mails) {
    const owner = directory
      .users()
      .find((other) => other.name.toLowerCase() !== user.toLowerCase() && other.mails.includes(mail));
    if (owner !== undefined) throw new ApiError('refused', `mail ${mail} is that of user ${owner.name}`);
  }
  return [...new Set(mails)];
}

/**
 * Names as projects have them. Each may be given as a URL, as the name or id of a project, or as the unique ending of a
 * project's name; also one that Gantry does not know yet, since trees of any directory can be submitted.
 */
export function projectNames(
  texts: readonly string[],
  known: readonly Pick<Project, 'id' | 'name'>[],
): readonly string[] {
  if (texts.length > maxProjects)
    throw invalid(`${texts.length} projects: at most ${maxProjects} can be named`);
  return [...new Set(texts.map((text) => projectName(text, known)))];
}

function projectName(text: string, known: readonly Pick<Project, 'id' | 'name'>[]): string {
  if (text.length > maxProjectLength)
    throw invalid(`a project's name has at most ${maxProjectLength} characters`);
  const exact = known.find(({ id, name }) => name === text || id === text);
  if (exact !== undefined) return exact.name;
  const ending = known.filter(({ name }) => name.endsWith(`/${text}`));
  if (ending.length > 1) {
    const all = ending.map(({ name }) => name).join(', ');
    throw invalid(`project ${text} is the ending of several: ${all}`);
  }
  if (ending[0] !== undefined) return ending[0].name;
  try {
    return normalizeRepositoryUrl(text).name;
  } catch (error) {
    if (!(error instanceof RepositoryUrlError)) throw error;
    // `github.com/owner/app`: what a URL would be normalized to.
    if (/^[^\s/:]+(?:\/[^\s/]+)+$/.test(text)) return text;
    throw invalid(
      `project ${JSON.stringify(text)}: there is none of that name; expected one of gantry projects ls, a repository's URL, or HOST/PATH`,
    );
  }
}

export function noteOf(text: string | undefined): string {
  const note = (text ?? '').trim();
  if (note.length <= maxNote && !/\p{C}/u.test(note)) return note;
  throw invalid(`the note: expected one line of at most ${maxNote} characters`);
}
