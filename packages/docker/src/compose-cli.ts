// Compose through its command line, for what the Engine API cannot do: make the containers of a project again from its
// files. Runs only when called; `docker compose` is preferred, `docker-compose` serves.

import { spawn } from 'node:child_process';
import { AppError, cancelledError, throwIfAborted } from '@varve/base';
import { endpointUrl, type DockerEndpoint } from './endpoint.ts';
import { TextTail } from './text-tail.ts';

export interface ComposeUpOptions {
  /** Must exist here, with the files: `.env` is read from it. */
  readonly workingDir: string;
  readonly configFiles: readonly string[];
  readonly project: string;
  /** Creates networks, volumes and containers, starts nothing. */
  readonly noStart?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface CommandResult {
  readonly exitCode: number;
  readonly output: string;
}

/**
 * Creates what is missing of a project and starts it; containers that exist are never recreated. DOCKER_COMMAND_FAILED with
 * the end of Compose's output, or with the remedy when Compose is not installed.
 */
export async function composeUp(endpoint: DockerEndpoint, options: ComposeUpOptions): Promise<void> {
  const program = await findCompose(options.signal);
  const files = options.configFiles.flatMap((file) => ['-f', file]);
  const command = [
    ...program,
    '-p',
    options.project,
    '--project-directory',
    options.workingDir,
    ...files,
    'up',
    '--no-recreate',
    options.noStart ? '--no-start' : '-d',
  ];
  const result = await run(command, {
    cwd: options.workingDir,
    dockerHost: endpointUrl(endpoint),
    signal: options.signal,
  });
  if (result.exitCode === 0) return;
  throw new AppError(
    'DOCKER_COMMAND_FAILED',
    `Compose could not bring up the project ${options.project} (exit code ${result.exitCode}): ${result.output.trim()}`,
    {
      hint: `Try it by hand in ${options.workingDir}: \`docker compose up\`.`,
      context: { exitCode: result.exitCode },
    },
  );
}

async function findCompose(signal: AbortSignal | undefined): Promise<readonly string[]> {
  for (const candidate of [['docker', 'compose'], ['docker-compose']]) {
    const result = await run([...candidate, 'version'], { signal }).catch(() => undefined);
    throwIfAborted(signal);
    if (result?.exitCode === 0) return candidate;
  }
  throw new AppError('DOCKER_COMMAND_FAILED', 'Neither `docker compose` nor `docker-compose` is installed here.', {
    hint: 'Install the Compose plugin (package docker-compose-plugin or docker-compose), or make the containers by hand.',
  });
}

interface RunOptions {
  readonly cwd?: string | undefined;
  readonly dockerHost?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

function run(command: readonly string[], options: RunOptions): Promise<CommandResult> {
  const { signal } = options;
  throwIfAborted(signal);
  const [program = '', ...args] = command;
  const env =
    options.dockerHost === undefined
      ? process.env
      : { ...process.env, DOCKER_HOST: options.dockerHost, DOCKER_CONTEXT: undefined };
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
      killSignal: 'SIGINT',
    });
    const tail = new TextTail(4096);
    child.stdout.on('data', (chunk: Buffer) => tail.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => tail.push(chunk));
    child.on('error', (error) => reject(signal?.aborted ? cancelledError(signal) : error));
    child.on('close', (code) => resolve({ exitCode: code ?? 1, output: tail.toString() }));
  });
}
