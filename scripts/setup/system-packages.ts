// The programs that the tests use. As root on Debian or Ubuntu what is missing is installed with apt-get; otherwise it is
// only named, and the tests that need it say that they were skipped.

import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

interface Requirement {
  readonly what: string;
  readonly packages: readonly string[];
  readonly isThere: () => boolean;
}

const requirements: readonly Requirement[] = [
  { what: 'git', packages: ['git', 'ca-certificates'], isThere: () => onPath('git') },
  { what: 'restic', packages: ['restic'], isThere: () => onPath('restic') },
  { what: 'PostgreSQL server', packages: ['postgresql', 'postgresql-client'], isThere: hasPostgresServer },
  { what: 'Docker Engine', packages: ['docker.io', 'iptables'], isThere: () => onPath('docker') && onPath('dockerd') },
  { what: 'Docker Compose', packages: ['docker-compose'], isThere: hasCompose },
  { what: 'debootstrap', packages: ['debootstrap'], isThere: () => onPath('debootstrap') },
  { what: 'rclone', packages: ['rclone'], isThere: () => onPath('rclone') },
  { what: 'BusyBox', packages: ['busybox'], isThere: () => existsSync('/bin/busybox') },
  { what: 'OpenSSH server', packages: ['openssh-server'], isThere: () => existsSync('/usr/sbin/sshd') },
  {
    what: 'OpenStack Swift',
    packages: ['swift-proxy', 'swift-account', 'swift-container', 'swift-object'],
    isThere: () => ['proxy', 'account', 'container', 'object'].every((part) => onPath(`swift-${part}-server`)),
  },
  { what: 'Chromium', packages: [chromiumPackage()], isThere: hasChromium },
];

/** Installs what is missing where that is possible. Says what it does; the names of what is still missing. */
export function ensureSystemPackages(log: (line: string) => void): readonly string[] {
  const missing = requirements.filter((requirement) => !requirement.isThere());
  if (missing.length === 0) return [];
  const names = missing.map((requirement) => requirement.what).join(', ');
  const blocked = whyNotInstall();
  if (blocked) {
    log(`not installed: ${names} (${blocked}); tests that need them are skipped`);
    return missing.map((requirement) => requirement.what);
  }
  log(`installing ${names} with apt-get`);
  aptGet(['update', '-q']);
  const all = missing.flatMap((requirement) => requirement.packages);
  // One by one after a failure: a package that this release does not have must not keep the others away.
  if (!install(all)) for (const requirement of missing) install(requirement.packages);
  const left = requirements.filter((requirement) => !requirement.isThere()).map((requirement) => requirement.what);
  if (left.length > 0) log(`could not install: ${left.join(', ')}; tests that need them are skipped`);
  return left;
}

function whyNotInstall(): string | undefined {
  if (process.env['VARVE_TEST_NO_INSTALL']) return 'VARVE_TEST_NO_INSTALL is set';
  if (process.getuid?.() !== 0) return 'only root can install packages';
  if (!onPath('apt-get')) return 'no apt-get on this system';
  return undefined;
}

function install(packages: readonly string[]): boolean {
  return aptGet(['install', '-q', '-y', '--no-install-recommends', ...packages]);
}

function aptGet(parameters: readonly string[]): boolean {
  // Run level 1 keeps the packages from starting services: the tests start what they need, on ports of their own.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  const result = spawnSync('apt-get', parameters, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  if (result.status === 0) return true;
  process.stderr.write(
    `apt-get ${parameters.join(' ')} ended with exit code ${result.status}\n${result.stderr.slice(-2000)}\n`,
  );
  return false;
}

function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => isExecutable(join(folder, program)));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function hasPostgresServer(): boolean {
  const root = '/usr/lib/postgresql';
  return existsSync(root) && readdirSync(root).some((major) => isExecutable(join(root, major, 'bin/postgres')));
}

function hasCompose(): boolean {
  return onPath('docker-compose') || spawnSync('docker', ['compose', 'version'], { stdio: 'ignore' }).status === 0;
}

function hasChromium(): boolean {
  return ['chromium', 'chromium-browser', 'google-chrome'].some(onPath);
}

/** On Ubuntu `chromium` does not exist and `chromium-browser` only fetches a snap; the attempt then fails and is reported. */
function chromiumPackage(): string {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  return /^ID=ubuntu$/m.test(release) ? 'chromium-browser' : 'chromium';
}
