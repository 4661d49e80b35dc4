/**
 * Images for tests, made on this machine from its own programs: nothing is pulled. Each is found again by its tag,
 * which ends in a digest of how it is made, so that only the first test run on a machine pays for it.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, readlink, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import Docker from 'dockerode';
import { pack, type Pack } from 'tar-stream';

const execute = promisify(execFile);

export const testImages = {
  /** busybox sh, no bash. */
  busybox: 'gantry-test/busybox:latest',
  /** busybox, and the machine's bash. */
  bash: 'gantry-test/bash:latest',
  /** `USER 1000`. */
  user1000: 'gantry-test/user1000:latest',
  /** An ENTRYPOINT that would end the box at once. */
  entrypoint: 'gantry-test/entrypoint:latest',
  /** No `setsid`. */
  noSetsid: 'gantry-test/no-setsid:latest',
  /** No shell: one file and nothing else. */
  noShell: 'gantry-test/no-shell:latest',
  /** The machine's bash, python3 and git, on busybox. */
  python: 'gantry-test/python:latest',
} as const;

export type TestImage = keyof typeof testImages;

const busyboxPrograms =
  'sh ash cat setsid echo printf env id ls ln mkdir mkfifo mv cp rm rmdir chmod chown sleep seq yes head tail tee tr sort wc grep sed awk cut dd test true false kill ps pwd date uname hostname touch sync stat readlink basename dirname find xargs tar gzip gunzip nc wget ping ip ifconfig route nslookup netstat httpd su sha256sum od hexdump expr timeout which mount umount free df du dmesg unshare nohup md5sum cmp diff mktemp'.split(
    ' ',
  );

interface Recipe {
  readonly busybox: boolean;
  /** Name in /bin -> what it points to. */
  readonly links: Readonly<Record<string, string>>;
  readonly programs: readonly string[];
  readonly trees: readonly string[];
  readonly changes: readonly string[];
}

const environment = 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const basic: Recipe = {
  busybox: true,
  links: Object.fromEntries(busyboxPrograms.map((name) => [name, 'busybox'])),
  programs: [],
  trees: [],
  changes: [environment, 'CMD ["/bin/sh"]'],
};

const recipes: Readonly<Record<TestImage, Recipe>> = {
  busybox: basic,
  bash: { ...basic, programs: ['bash'] },
  user1000: { ...basic, changes: [...basic.changes, 'USER 1000'] },
  entrypoint: { ...basic, changes: [...basic.changes, 'ENTRYPOINT ["/bin/false"]'] },
  // Not busybox's shell, which finds its own applets without any link.
  noSetsid: { ...basic, busybox: false, links: { sh: '/usr/bin/bash' }, programs: ['bash', 'cat'] },
  noShell: { ...basic, busybox: false, links: {} },
  python: {
    ...basic,
    programs: ['bash', 'python3', 'git'],
    trees: ['python3', '/usr/lib/git-core', '/usr/share/git-core/templates'],
  },
};

/** Makes the image if this machine does not have it; its reference. */
export async function ensureTestImage(name: TestImage, docker = new Docker()): Promise<string> {
  const reference = testImages[name];
  const recipe = recipes[name];
  const digest = createHash('sha256').update(JSON.stringify(recipe)).update('3').digest('hex').slice(0, 16);
  const existing = await docker
    .getImage(reference)
    .inspect()
    .catch(() => undefined);
  if (existing?.Config.Labels['gantry.test.recipe'] === digest) return reference;
  const archive = pack();
  const [repo, tag] = reference.split(':');
  const importing = docker.importImage(Readable.from(archive), {
    repo,
    tag,
    changes: [...recipe.changes, `LABEL gantry.test.recipe=${digest}`],
  });
  await Promise.all([fill(archive, recipe), importing.then((stream) => finish(docker, stream))]);
  return reference;
}

/** Removes images that have no tag (any more), as far as nothing is made of them. */
export async function removeUntagged(ids: Iterable<string>, docker = new Docker()): Promise<void> {
  // The youngest first: what it was made of is in use until then.
  for (const id of [...ids].reverse()) {
    const found = await docker
      .getImage(id)
      .inspect()
      .catch(() => undefined); // Gone with another one.
    if (found === undefined || found.RepoTags.length > 0) continue;
    await docker
      .getImage(id)
      .remove()
      .catch(() => undefined); // In use by another one.
  }
}

async function finish(docker: Docker, stream: NodeJS.ReadableStream): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    docker.modem.followProgress(stream, (error: Error | null, events: { readonly error?: string }[]) => {
      const failed = events.find((event) => event.error !== undefined)?.error;
      if (error !== null) reject(error);
      else if (failed !== undefined) reject(new Error(failed));
      else resolve();
    });
  });
}

async function fill(archive: Pack, recipe: Recipe): Promise<void> {
  const tree = new ImageTree(archive);
  const busybox = '/bin/busybox';
  await access(busybox).catch(() => {
    throw new Error('tests make their images of a static /bin/busybox: apt-get install busybox-static');
  });
  for (const directory of [
    'bin',
    'etc',
    'root',
    'tmp',
    'usr',
    'usr/bin',
    'lib',
    'lib64',
    'usr/lib',
    'home',
  ]) {
    tree.directory(directory, directory === 'tmp' ? 0o1777 : 0o755);
  }
  tree.text('hello', 'an image may not be empty\n');
  if (recipe.busybox) await tree.file(busybox, 'bin/busybox');
  for (const [link, target] of Object.entries(recipe.links)) tree.link(`bin/${link}`, target);
  tree.text('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnamed:x:1500:1500:named:/home:/bin/sh\n');
  tree.text('etc/group', 'root:x:0:\nnamed:x:1500:\n');
  for (const program of recipe.programs) await tree.program(await locate(program));
  for (const each of recipe.trees) {
    if (each === 'python3') await tree.pythonLibrary();
    else await tree.copyTree(each);
  }
  archive.finalize();
}

/** /usr first: a version manager's shim in front of the machine's own program is no use in an image. */
async function locate(program: string): Promise<string> {
  for (const directory of ['/usr/bin', '/bin', '/usr/local/bin']) {
    const path = join(directory, program);
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  throw new Error(
    `tests make an image of this machine's ${program}, which is not in /usr/bin: apt-get install ${program}`,
  );
}

/** Entries of the image's archive, each once, with the directories above them. */
class ImageTree {
  readonly #archive: Pack;
  readonly #have = new Set<string>();

  constructor(archive: Pack) {
    this.#archive = archive;
  }

  directory(path: string, mode = 0o755): void {
    if (path === '.' || path === '' || this.#have.has(path)) return;
    this.directory(dirname(path));
    this.#have.add(path);
    this.#archive.entry({ name: path, type: 'directory', mode });
  }

  link(path: string, target: string): void {
    if (!this.#claim(path)) return;
    this.#archive.entry({ name: path, type: 'symlink', linkname: target });
  }

  text(path: string, content: string): void {
    if (this.#claim(path)) this.#archive.entry({ name: path, mode: 0o644 }, content);
  }

  async file(source: string, path: string): Promise<void> {
    if (!this.#claim(path)) return;
    const { size, mode } = await stat(source);
    const entry = this.#archive.entry({ name: path, size, mode: mode & 0o755 });
    await pipeline(createReadStream(source), entry);
  }

  /** The program and the libraries that it is linked to, at their own places. */
  async program(path: string): Promise<void> {
    const real = await realpath(path);
    await this.file(real, path.slice(1));
    if (real !== path) await this.file(real, real.slice(1));
    await this.libraries(real);
  }

  async libraries(path: string): Promise<void> {
    const { stdout } = await execute('ldd', [path]).catch(() => ({ stdout: '' }));
    for (const line of stdout.split('\n')) {
      const library = /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1];
      if (library !== undefined) await this.file(await realpath(library), library.slice(1));
    }
  }

  async pythonLibrary(): Promise<void> {
    const { stdout } = await execute('/usr/bin/python3', [
      '-c',
      'import sys; print(f"/usr/lib/python{sys.version_info.major}.{sys.version_info.minor}")',
    ]);
    await this.copyTree(
      stdout.trim(),
      /\/(?:test|tests|idlelib|tkinter|ensurepip|__pycache__|lib2to3)(?:\/|$)/,
    );
    this.directory('usr/lib/python3');
  }

  /** Copies a tree and the libraries of its shared objects. */
  async copyTree(root: string, without = /\/__pycache__(?:\/|$)/): Promise<void> {
    const { stdout } = await execute('find', [root, '-printf', '%y %p\\n'], { maxBuffer: 64 * 1024 * 1024 });
    for (const line of stdout.split('\n').filter((each) => each !== '' && !without.test(each))) {
      const [kind, path] = [line.slice(0, 1), line.slice(2)];
      if (kind === 'd') this.directory(path.slice(1));
      else if (kind === 'l') this.link(path.slice(1), await readlink(path));
      else if (kind === 'f') {
        await this.file(path, path.slice(1));
        if (/\.so(?:\.|$)|git-core\/[^.]*$/.test(path)) await this.libraries(path);
      }
    }
  }

  #claim(path: string): boolean {
    if (this.#have.has(path)) return false;
    this.directory(dirname(path));
    this.#have.add(path);
    return true;
  }
}
