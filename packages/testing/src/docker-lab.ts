// A real Docker Engine and a PostgreSQL image for tests. Takes what `npm test` prepared, else an engine that answers, else
// (as root) starts one of its own. Where none can be had, `available` is false and `reason` says why.

import { messageOf } from '@varve/base';
import { execa, type Result } from 'execa';
import { engineAnswers, labDockerHost, startLabDaemon, stopLabDaemon } from './docker-daemon.ts';
import { ensureLabImage } from './lab-image.ts';
import { releaseLease, takeLease, withLabLock } from './lab-folder.ts';

/** Variables by which `npm test` hands the prepared engine to the tests. */
export const dockerLabVariables = {
  host: 'VARVE_TEST_DOCKER_HOST',
  image: 'VARVE_TEST_DOCKER_IMAGE',
  skip: 'VARVE_TEST_DOCKER_SKIP',
} as const;

export interface DockerLab extends AsyncDisposable {
  readonly available: boolean;
  /** Why there is no engine; empty when there is one. */
  readonly reason: string;
  /** As DOCKER_HOST; empty when not available. */
  readonly host: string;
  /** An image with PostgreSQL, a shell, find, tar, grep: `varve-lab/postgres:<major>`. */
  readonly image: string;
  /** Runs the docker command line against the engine; throws when it fails. */
  docker(...parameters: readonly string[]): Promise<string>;
}

/** Gets the lab ready: at once after `npm test` prepared it, some seconds for a new engine, minutes for a new image. */
export async function dockerLab(options: { readonly log?: (line: string) => void } = {}): Promise<DockerLab> {
  const { env } = process;
  const skip = env[dockerLabVariables.skip];
  if (skip) return unavailable(skip);
  const host = env[dockerLabVariables.host];
  const image = env[dockerLabVariables.image];
  if (host && image) return ready({ host, image, release: () => Promise.resolve() });
  const prepared = await withLabLock('docker', () => prepare(host, options.log ?? (() => {}))).catch(failure);
  return 'reason' in prepared ? unavailable(prepared.reason) : ready(prepared);
}

/** A lab that cannot be set up skips tests, it does not break the run; the reason is printed with each of them. */
function failure(error: unknown): { readonly reason: string } {
  return { reason: `the Docker lab could not be set up: ${messageOf(error).split('\n')[0]}` };
}

/** The name of a suite, with the reason when its lab is missing: `describe.skipIf(!lab.available)(suiteName('…', lab), …)`. */
export function suiteName(name: string, lab: { readonly available: boolean; readonly reason: string }): string {
  return lab.available ? name : `${name} [skipped: ${lab.reason}]`;
}

interface Prepared {
  readonly host: string;
  readonly image: string;
  readonly release: () => Promise<void>;
}

async function prepare(
  given: string | undefined,
  log: (line: string) => void,
): Promise<Prepared | { readonly reason: string }> {
  if ((await execa('docker', ['--version'], { reject: false })).exitCode !== 0)
    return { reason: 'the docker command is not installed' };
  const engine = await findEngine(given);
  if ('reason' in engine) return engine;
  const made = await ensureLabImage(engine.host, log);
  if ('image' in made) return { ...engine, image: made.image };
  await engine.release();
  return made;
}

async function findEngine(given: string | undefined): Promise<Omit<Prepared, 'image'> | { readonly reason: string }> {
  if (given)
    return (await engineAnswers(given))
      ? { host: given, release: () => Promise.resolve() }
      : { reason: `no engine answers at ${given}` };
  if (!(await engineAnswers(labDockerHost()))) {
    if (await engineAnswers()) return { host: await currentHost(), release: () => Promise.resolve() };
    const failure = await startLabDaemon();
    if (failure) return failure;
  }
  await takeLease('docker');
  return { host: labDockerHost(), release: () => withLabLock('docker', leaveLabEngine) };
}

/** The last one out stops the engine. */
async function leaveLabEngine(): Promise<void> {
  if ((await releaseLease('docker')) === 0) await stopLabDaemon();
}

/** The address that the docker command line uses, through its context. */
async function currentHost(): Promise<string> {
  const { env } = process;
  if (env['DOCKER_HOST']) return env['DOCKER_HOST'];
  const result = await execa('docker', ['context', 'inspect', '--format', '{{.Endpoints.docker.Host}}'], {
    reject: false,
  });
  return result.exitCode === 0 && result.stdout.trim() !== '' ? result.stdout.trim() : 'unix:///var/run/docker.sock';
}

function ready(prepared: Prepared): DockerLab {
  const { host, image, release } = prepared;
  return {
    available: true,
    reason: '',
    host,
    image,
    docker: async (...parameters) => {
      const result: Result = await execa('docker', ['--host', host, ...parameters]);
      return String(result.stdout);
    },
    [Symbol.asyncDispose]: release,
  };
}

function unavailable(reason: string): DockerLab {
  return {
    available: false,
    reason,
    host: '',
    image: '',
    docker: () => Promise.reject(new Error(`No Docker engine: ${reason}.`)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
