/** A command of a Dockerfile that failed, as distinct from a build that could not be done. */
export class BuildCommandFailed extends Error {
  override readonly name = 'BuildCommandFailed';

  constructor(readonly exitCode: number) {
    super(`a command of the build exited with code ${exitCode}`);
  }
}
