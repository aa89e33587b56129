// The image of the tests: a minimal Debian (or Ubuntu) with the distribution's PostgreSQL, made by debootstrap from the
// machine's own package mirror, since no registry may be reachable. Two steps, each kept in the engine: the distribution
// (minutes), and our entry point on top (a second).

import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { readAptSources } from './apt-sources.ts';
import { labFolder } from './lab-folder.ts';

const baseRepository = 'varve-lab/base';
const repository = 'varve-lab/postgres';
const baseLabel = 'varve-lab.base';
const recipeLabel = 'varve-lab.recipe';
const entrypointFile = fileURLToPath(new URL('../lab/postgres-image/entrypoint.sh', import.meta.url));
/** Raise it when the way the base is built changes. */
const baseVersion = '1';

type Failure = { readonly reason: string };

/** The image's name (`varve-lab/postgres:<major>`), built when the engine has none of this recipe; or why there is none. */
export async function ensureLabImage(
  host: string,
  log: (line: string) => void,
): Promise<{ readonly image: string } | Failure> {
  const recipe = createHash('sha256')
    .update(baseVersion)
    .update(await readFile(entrypointFile))
    .digest('hex')
    .slice(0, 16);
  const known = await findImage(host, repository, `${recipeLabel}=${recipe}`);
  if (known) return { image: known };
  const base = (await findImage(host, baseRepository, `${baseLabel}=${baseVersion}`)) ?? (await buildBase(host, log));
  if (typeof base !== 'string') return base;
  const major = base.split(':').at(-1) ?? '';
  const image = `${repository}:${major}`;
  await addEntrypoint({ host, base, image, major, recipe });
  return { image };
}

async function findImage(host: string, name: string, label: string): Promise<string | undefined> {
  const format = '{{.Repository}}:{{.Tag}}';
  const found = await execa('docker', [
    '--host',
    host,
    'images',
    '--filter',
    `label=${label}`,
    '--format',
    format,
    name,
  ]);
  return found.stdout.split('\n').find((line) => line !== '' && !line.endsWith('<none>'));
}

async function buildBase(host: string, log: (line: string) => void): Promise<string | Failure> {
  if (process.getuid?.() !== 0) return { reason: 'the test image is not there, and only root can build it' };
  if ((await execa('debootstrap', ['--version'], { reject: false })).exitCode !== 0) {
    return { reason: 'the test image is not there, and debootstrap is not installed to build it' };
  }
  const source = await mirror();
  if (!source) return { reason: 'the test image is not there, and the apt sources name no mirror to build it from' };
  log(`building the test image from ${source.uri} ${source.suite} (one to three minutes, kept for later runs)`);
  await mkdir(labFolder(), { recursive: true });
  const root = await mkdtemp(join(labFolder(), 'rootfs-'));
  try {
    return await bootstrap({ host, root, source });
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

async function bootstrap(options: { host: string; root: string; source: Mirror }): Promise<string | Failure> {
  const { host, root, source } = options;
  const parameters = ['--variant=minbase', '--include=postgresql,ca-certificates', source.suite, root, source.uri];
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const made = await execa('debootstrap', parameters, { reject: false, all: true, env });
  if (made.exitCode !== 0) return { reason: `debootstrap failed: ${made.all.trim().split('\n').slice(-2).join('; ')}` };
  const majors = (await readdir(join(root, 'usr/lib/postgresql'))).toSorted((a, b) => Number(b) - Number(a));
  const [major] = majors;
  if (major === undefined) return { reason: 'debootstrap made no PostgreSQL' };
  await slim(root, major);
  const image = `${baseRepository}:${major}`;
  const archive = ['-C', root, '--numeric-owner', '--one-file-system', '-c', '.'];
  const change = `LABEL ${baseLabel}=${baseVersion}`;
  const importing = ['--host', host, 'import', '--change', change, '-', image];
  await execa('tar', archive, { encoding: 'buffer', buffer: false }).pipe('docker', importing);
  return image;
}

/** Drops caches, documentation, the JIT compiler's libraries and the cluster that Debian's package makes. */
async function slim(root: string, major: string): Promise<void> {
  const unneeded = [
    'var/cache/apt',
    'var/lib/apt/lists',
    'usr/share/doc',
    'usr/share/man',
    'usr/share/locale',
    `var/lib/postgresql/${major}`,
    `etc/postgresql/${major}`,
    `usr/lib/postgresql/${major}/lib/bitcode`,
    `usr/lib/postgresql/${major}/lib/llvmjit.so`,
  ];
  for (const path of unneeded) await rm(join(root, path), { recursive: true, force: true });
  for (const triplet of await readdir(join(root, 'usr/lib'))) {
    if (!triplet.endsWith('-linux-gnu')) continue;
    const folder = join(root, 'usr/lib', triplet);
    const libraries = (await readdir(folder)).filter((name) => name.startsWith('libLLVM'));
    for (const library of libraries) await rm(join(folder, library), { force: true });
  }
}

interface FinalImage {
  readonly host: string;
  readonly base: string;
  readonly image: string;
  readonly major: string;
  readonly recipe: string;
}

/** A container of the base with the entry point copied in, committed: needs no image builder. */
async function addEntrypoint({ host, base, image, major, recipe }: FinalImage): Promise<void> {
  const docker = (...parameters: readonly string[]) => execa('docker', ['--host', host, ...parameters]);
  const changes = [
    `LABEL ${recipeLabel}=${recipe}`,
    `ENV PATH=/usr/lib/postgresql/${major}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    `ENV PG_MAJOR=${major}`,
    'ENV PGDATA=/var/lib/postgresql/data',
    'ENV LANG=C.UTF-8',
    'ENTRYPOINT ["lab-entrypoint"]',
    'CMD ["postgres"]',
    'EXPOSE 5432',
  ];
  const { stdout: id } = await docker('create', base, 'true');
  try {
    await docker('cp', entrypointFile, `${id}:/usr/local/bin/lab-entrypoint`);
    await docker('commit', ...changes.flatMap((change) => ['--change', change]), id, image);
  } finally {
    await docker('rm', id);
  }
}

interface Mirror {
  readonly uri: string;
  readonly suite: string;
}

/** The machine's own suite with the component that holds PostgreSQL; mirror lists and media are of no use to debootstrap. */
async function mirror(): Promise<Mirror | undefined> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const suite = /^VERSION_CODENAME="?([\w-]+)"?$/m.exec(release)?.[1];
  const sources = await readAptSources();
  return sources.find(
    (source) => source.suite === suite && source.components.includes('main') && /^(https?|file):/.test(source.uri),
  );
}
