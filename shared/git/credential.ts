/** What proves to a git server who asks. It is never part of a URL, a command line or a file that outlives the command. */
export type GitCredential =
  | { readonly kind: 'https'; readonly user: string; readonly token: string }
  | {
      readonly kind: 'ssh';
      /** OpenSSH or PEM, without a passphrase. */
      readonly privateKey: string;
      /** Lines of a known_hosts file: a host that is not in it is refused. */
      readonly knownHosts: string;
    };
