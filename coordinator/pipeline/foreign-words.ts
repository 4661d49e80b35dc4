/** What people bring along from other systems, and what to write instead. */

/** Names and functions in conditions. */
export const foreignNames: ReadonlyMap<string, string> = new Map([
  ['success', 'leave it out: a stage without `if` runs when all its needs have ended well'],
  ['failure', 'did you mean `failed()`?'],
  ['cancelled', 'a canceled run starts no more stages, whatever their conditions say'],
  ['canceled', 'a canceled run starts no more stages, whatever their conditions say'],
  ['startsWith', 'write `branch.startsWith("release/")`'],
  ['endsWith', 'write `branch.endsWith("-rc")`'],
  ['contains', 'write `message.contains("text")`'],
  ['matches', 'write `branch.matches("^release/")`'],
  ['not', 'write `!(tag == "")`'],
  ['has', 'a fact or input that is not given is "": write `inputs.NAME != ""`'],
  ['int', 'compare with a text: `matrix.version == "3"`'],
  ['github', 'did you mean `branch`, `tag`, `event` or another fact of the run?'],
  ['env', 'variables belong to steps: conditions know the facts of the run'],
  ['secrets', 'a condition sees no secrets: test the variable in the step'],
  ['ref', 'did you mean `branch` or `tag`?'],
]);

/** Values of `event` and of a stage's status. */
export const foreignValues: ReadonlyMap<string, string> = new Map([
  ['pull_request', 'change'],
  ['merge_request_event', 'change'],
  ['workflow_dispatch', 'manual'],
  ['success', 'succeeded'],
  ['failure', 'failed'],
  ['cancelled', 'canceled'],
]);
