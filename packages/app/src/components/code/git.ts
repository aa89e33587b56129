// Runs git on a checkout that belongs to somebody else without doing what its configuration might ask for: as the owner
// where that is possible, without hooks, prompts, network helpers, pagers or any GIT_* variable of our environment.

import { execa, ExecaError } from 'execa';
import { lstat } from 'node:fs/promises';
import { AppError, cancelledError, redact } from '@varve/base';

const maxOutputBytes = 64 * 1024 * 1024;

/** Options on every command line: nothing that a repository's configuration names is run. */
const safeOptions = [
  '-c',
  'core.hooksPath=/dev/null',
  '-c',
  'core.fsmonitor=false',
  '-c',
  'core.quotePath=false',
  '-c',
  'gc.auto=0',
  '-c',
  'maintenance.auto=false',
  '-c',
  'protocol.allow=never',
  '-c',
  'user.name=Varve',
  '-c',
  'user.email=varve@localhost',
] as const;

export interface GitRunOptions {
  readonly signal?: AbortSignal | undefined;
  readonly input?: Uint8Array | string;
  /** Added to the environment of git. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface GitResult {
  readonly exitCode: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

interface GitIdentity {
  readonly uid?: number;
  readonly gid?: number;
  readonly options: readonly string[];
}

/** git in one folder. Made by {@link openGit}. */
export class Git {
  readonly directory: string;
  readonly #identity: GitIdentity;

  constructor(directory: string, identity: GitIdentity) {
    this.directory = directory;
    this.#identity = identity;
  }

  /** Uid and gid that git runs with, when they are not those of this process. */
  get owner(): { readonly uid: number; readonly gid: number } | undefined {
    const { uid, gid } = this.#identity;
    return uid === undefined || gid === undefined ? undefined : { uid, gid };
  }

  /** Runs git and yields how it ended. CODE_FAILED when it could not be started, CANCELLED after an abort. */
  async try(args: readonly string[], options: GitRunOptions = {}): Promise<GitResult> {
    try {
      const result = await execa('git', this.#arguments(args), {
        ...this.#settings(options),
        encoding: 'buffer',
        maxBuffer: maxOutputBytes,
        stripFinalNewline: false,
        ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
      });
      return { exitCode: 0, stdout: Buffer.from(result.stdout), stderr: textOf(result.stderr) };
    } catch (error) {
      if (options.signal?.aborted) throw cancelledError(options.signal);
      if (error instanceof ExecaError && error.exitCode !== undefined && !error.isMaxBuffer) {
        return { exitCode: error.exitCode, stdout: bufferOf(error.stdout), stderr: textOf(error.stderr) };
      }
      throw this.#failure(args, error instanceof Error ? error.message : String(error), error);
    }
  }

  /** Runs git and yields its output; CODE_FAILED when it ends with anything but 0. */
  async run(args: readonly string[], options: GitRunOptions = {}): Promise<string> {
    const result = await this.try(args, options);
    if (result.exitCode !== 0) throw this.#failure(args, result.stderr.trim() || `exit status ${result.exitCode}`);
    return result.stdout.toString('utf8');
  }

  /** The output as a stream; the iteration throws CODE_FAILED at its end when git failed. */
  async *stream(args: readonly string[], options: GitRunOptions = {}): AsyncIterable<Uint8Array> {
    const running = execa('git', this.#arguments(args), {
      ...this.#settings(options),
      stdin: 'ignore',
      encoding: 'buffer',
      buffer: { stdout: false, stderr: true },
    });
    try {
      for await (const chunk of running.iterable({ binary: true })) yield chunk;
    } catch (error) {
      if (options.signal?.aborted) throw cancelledError(options.signal);
      const reason = error instanceof ExecaError ? textOf(error.stderr).trim() || error.shortMessage : String(error);
      throw this.#failure(args, reason, error);
    }
  }

  #arguments(args: readonly string[]): string[] {
    return [...safeOptions, ...this.#identity.options, ...args];
  }

  #settings(options: GitRunOptions) {
    const { uid, gid } = this.#identity;
    return {
      cwd: this.directory,
      extendEnv: false,
      env: { ...gitEnvironment(uid !== undefined), ...options.env },
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
      ...(options.signal ? { cancelSignal: options.signal } : {}),
      forceKillAfterDelay: 5000,
    };
  }

  #failure(args: readonly string[], reason: string, cause?: unknown): AppError {
    const name = args.find((arg) => !arg.startsWith('-')) ?? 'git';
    const text = redact(reason.slice(0, 2000));
    return new AppError('CODE_FAILED', `git ${name} failed in ${this.directory}: ${text}`, {
      hint: `Run "git -C ${this.directory} status" as the owner of the checkout and repair what it reports.`,
      context: { directory: this.directory, command: name },
      cause,
    });
  }
}

function gitEnvironment(asOther: boolean): Record<string, string> {
  const environment: Record<string, string> = {
    PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
    LC_ALL: 'C.UTF-8',
    GIT_TERMINAL_PROMPT: '0',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_PAGER: 'cat',
    GIT_NO_LAZY_FETCH: '1',
    GIT_NO_REPLACE_OBJECTS: '1',
  };
  if (asOther) environment['GIT_CONFIG_GLOBAL'] = '/dev/null';
  else if (process.env['HOME']) environment['HOME'] = process.env['HOME'];
  return environment;
}

/**
 * git for the checkout, or the folder that becomes one, at `directory`. As root it runs as the folder's owner; where the
 * owner cannot reach the folder it runs as root with every configured filter switched off.
 */
export async function openGit(
  directory: string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Git> {
  const trusted = ['-c', `safe.directory=${directory}`];
  const stat = await lstat(directory);
  const self = process.getuid?.() ?? 0;
  if (stat.uid === self) return new Git(directory, { options: trusted });
  if (self === 0) {
    const asOwner = new Git(directory, { uid: stat.uid, gid: stat.gid, options: trusted });
    if (await canRun(asOwner, options.signal)) return asOwner;
  }
  const asSelf = new Git(directory, { options: trusted });
  return new Git(directory, { options: [...trusted, ...(await filtersOff(asSelf, options.signal))] });
}

async function canRun(git: Git, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    const result = await git.try(['rev-parse', '--is-inside-work-tree'], { signal });
    return result.exitCode === 0 || /not a git repository/i.test(result.stderr);
  } catch (error) {
    if (signal?.aborted) throw error;
    return false;
  }
}

async function filtersOff(git: Git, signal: AbortSignal | undefined): Promise<string[]> {
  const { stdout } = await git.try(['config', '-z', '--name-only', '--get-regexp', String.raw`^filter\.`], { signal });
  const keys = stdout
    .toString('utf8')
    .split('\0')
    .filter((key) => key !== '');
  return keys.flatMap((key) => ['-c', key.endsWith('.required') ? `${key}=false` : `${key}=`]);
}

function textOf(value: unknown): string {
  return bufferOf(value).toString('utf8');
}

function bufferOf(value: unknown): Buffer {
  if (value instanceof Uint8Array) return Buffer.from(value);
  return Buffer.from(typeof value === 'string' ? value : '');
}
