/** The keys `on` and `notify`. */
import { z } from 'zod';
import { newsKinds } from '../../shared/model/project.js';
import { expected, listOf, name, oneOrMore, oneWordOf } from './schema-parts.js';
import { triggerEvents } from './trigger-rules.js';
import { either } from './words.js';

const eventHints: Readonly<Record<string, string>> = {
  pull_request: 'did you mean change?',
  merge_request: 'did you mean change?',
  workflow_dispatch: 'did you mean manual?',
  tags: 'did you mean tag?',
  submit: 'runs that are submitted start whatever `on` says',
  gate: 'runs of the gate start whatever `on` says',
  schedule: 'schedules are not supported by this version yet',
};

const triggerEvent = z.enum(triggerEvents, oneWordOf(triggerEvents, eventHints));

const someEvents = z.union(
  [triggerEvent, listOf(triggerEvent, 'a list of events')],
  expected('an event or a list of events'),
);

const refPattern = z.string(expected('a pattern such as `release/*`', () => 'put it in quotes'));
const refPatterns = z.union(
  [refPattern, listOf(refPattern, 'a list of patterns')],
  expected('a pattern or a list of patterns'),
);

const patternHelp =
  '`*` is any characters but `/`, `**` any number of components, `{a,b}` either. In a list the last pattern that matches decides, ' +
  'and `!` takes away again; a list that begins with `!` begins with everything.';

export const onShape = {
  events: someEvents
    .optional()
    .describe(
      '`push`, `change`, `tag`, or `manual` for nothing but runs that people start. Default: push and change.',
    ),
  branches: refPatterns
    .optional()
    .describe(
      `Branches that are pushed to, and those that changes are to land on. Default: all. ${patternHelp}`,
    ),
  tags: refPatterns
    .optional()
    .describe(`Tags that start a run. Default: none, all with the event \`tag\`. ${patternHelp}`),
  paths: oneOrMore('patterns')
    .optional()
    .describe(
      `A push or change starts a run only if it changes one of these paths; a new branch counts as changing all. ${patternHelp}`,
    ),
};

export const on = z
  .union(
    [
      triggerEvent,
      listOf(triggerEvent, 'a list of events'),
      z
        .strictObject(onShape, expected('what starts a run'))
        .describe('Events, with branches, tags and paths.'),
    ],
    expected(
      'an event such as `push`, a list of events, or a map with `events`, `branches`, `tags`, `paths`',
    ),
  )
  .describe(
    'What starts a run by itself. Without it: every push to a branch and every change, no tags. Runs that people submit or start by ' +
      'hand start whatever it says.',
  );

const newsKind = z.enum(newsKinds, oneWordOf(newsKinds));
const mailAddress = z.string(expected('a mail address'));
const webhookName = name('a webhook');

export const notifyShape = {
  on: z
    .union([newsKind, listOf(newsKind, 'a list')], expected(either(newsKinds)))
    .optional()
    .describe('Of which ends of a run. Default: all three.'),
  mail: z
    .union(
      [mailAddress, listOf(mailAddress, 'a list of mail addresses')],
      expected('a mail address or a list of them'),
    )
    .optional()
    .describe('Mail addresses; mail goes to users and to the domains that the project allows.'),
  webhooks: z
    .union([webhookName, listOf(webhookName, 'a list of names')], expected('a name or a list of names'))
    .optional()
    .describe("Names of the project's webhooks."),
};

export const notify = z
  .union(
    [
      mailAddress,
      listOf(mailAddress, 'a list of mail addresses'),
      z.strictObject(notifyShape, expected('whom to tell')).describe('Whom to tell of what.'),
    ],
    expected('a mail address, a list of them, or a map with `on`, `mail` and `webhooks`'),
  )
  .describe('Who is told that a run failed, still fails or is fixed, beside those whose commits it builds.');
