/** Which kind of remote one git command may talk to. Anything else, also by redirect or alias, is refused by git. */
export type Transport = 'none' | 'https' | 'http' | 'ssh' | 'file';

export interface IsolatedOptions {
  /** Default `none`. */
  readonly transport?: Transport;
  /** More configuration for this command only, e.g. `{'pack.window': '0'}`. */
  readonly config?: Readonly<Record<string, string>>;
}

/** What a process of ours may hand on: where programs are, how to get out of the network, which CAs to trust. */
const passedOn = [
  'PATH',
  'TMPDIR',
  'SSH_AUTH_SOCK',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'GIT_SSL_CAINFO',
  'http_proxy',
  'https_proxy',
  'HTTPS_PROXY',
  'all_proxy',
  'ALL_PROXY',
  'no_proxy',
  'NO_PROXY',
];

const isolatedConfig: Readonly<Record<string, string>> = {
  // Nothing that came with a repository runs on our side, and git starts nothing of its own accord.
  'core.hooksPath': '/dev/null',
  'core.fsmonitor': 'false',
  'gc.auto': '0',
  'maintenance.auto': 'false',
  'fetch.recurseSubmodules': 'false',
  'submodule.recurse': 'false',
  'transfer.bundleURI': 'false',
  'credential.helper': '',
  // Isolated commands run only in directories that Gantry made, or in repositories below a root the operator named.
  'safe.directory': '*',
  'protocol.version': '2',
  // An http server that sends nothing for a minute counts as unreachable.
  'http.lowSpeedLimit': '1',
  'http.lowSpeedTime': '60',
  'core.logAllRefUpdates': 'false',
  'advice.detachedHead': 'false',
  'init.defaultBranch': 'main',
};

/**
 * The whole environment of a git command that works on repositories of other people: no system or global
 * configuration, no prompts, no credential helpers, no hooks, one transport.
 *
 * `HOME` is a directory that does not exist, because libcurl would read `.netrc` there. ssh looks its home up by the
 * user's id, so the key and the known hosts of the user that runs the process are used; a host seen for the first
 * time is accepted, one whose key changed is not.
 */
export function isolatedEnvironment(options: IsolatedOptions = {}): Record<string, string> {
  const transport = options.transport ?? 'none';
  return {
    ...pick(passedOn),
    HOME: '/nonexistent',
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: 'false',
    SSH_ASKPASS: 'false',
    SSH_ASKPASS_REQUIRE: 'never',
    GIT_SSH_COMMAND:
      'ssh -oBatchMode=yes -oStrictHostKeyChecking=accept-new -oConnectTimeout=30 -oServerAliveInterval=15 -oServerAliveCountMax=4',
    GIT_ALLOW_PROTOCOL: transport === 'none' ? 'none' : transport,
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_OPTIONAL_LOCKS: '0',
    ...configEnvironment({
      ...isolatedConfig,
      // An https server may redirect within https; http is for loopback only and stays where it is.
      'http.followRedirects': transport === 'https' ? 'initial' : 'false',
      // A proxy has no business between this machine and itself.
      ...(transport === 'http' ? { 'http.proxy': '' } : {}),
      ...options.config,
    }),
  };
}

/** Variables that would make git work in another repository than the one of the directory; git hooks set them. */
const repositoryVariables = [
  'GIT_DIR',
  'GIT_WORK_TREE',
  'GIT_INDEX_FILE',
  'GIT_COMMON_DIR',
  'GIT_PREFIX',
  'GIT_NAMESPACE',
  'GIT_OBJECT_DIRECTORY',
  'GIT_ALTERNATE_OBJECT_DIRECTORIES',
  'GIT_GRAFT_FILE',
  'GIT_SHALLOW_FILE',
  'GIT_QUARANTINE_PATH',
];

/**
 * The environment of a git command in the user's own repository: their configuration counts (what is ignored, how
 * lines end, who they are), but nothing prompts, and nothing is written that was not asked for.
 */
export function usersEnvironment(config: Readonly<Record<string, string>> = {}): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !repositoryVariables.includes(name)) environment[name] = value;
  }
  const count = Number.parseInt(environment['GIT_CONFIG_COUNT'] ?? '0', 10) || 0;
  return {
    ...environment,
    LC_ALL: 'C',
    GIT_TERMINAL_PROMPT: '0',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_NO_REPLACE_OBJECTS: '1',
    ...configEnvironment({ 'core.fsmonitor': 'false', 'core.hooksPath': '/dev/null', ...config }, count),
  };
}

function configEnvironment(config: Readonly<Record<string, string>>, first = 0): Record<string, string> {
  const entries = Object.entries(config);
  const environment: Record<string, string> = { GIT_CONFIG_COUNT: String(first + entries.length) };
  entries.forEach(([key, value], index) => {
    environment[`GIT_CONFIG_KEY_${first + index}`] = key;
    environment[`GIT_CONFIG_VALUE_${first + index}`] = value;
  });
  return environment;
}

function pick(names: readonly string[]): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const name of names) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}
