// restic as the oracle: a program that we did not write checks and reads what we wrote, and the other way round.

import { execa } from 'execa';

export interface ResticRepository {
  /** As `restic --repo`: a folder, or any location restic knows. */
  readonly repo: string;
  readonly password: string;
}

export interface ResticOptions {
  readonly cwd?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly input?: string | Uint8Array | undefined;
  /** Return the result of a failed run instead of throwing. */
  readonly allowFailure?: boolean | undefined;
}

export interface ResticResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The program: restic of the PATH, or the one that `VARVE_TEST_RESTIC` names, to run the tests with another version. */
export function resticCommand(): string {
  return process.env['VARVE_TEST_RESTIC'] ?? 'restic';
}

/** The version text (`0.14.0`), undefined when restic is not installed. */
export async function resticAvailable(): Promise<string | undefined> {
  const result = await execa(resticCommand(), ['version'], { reject: false });
  return result.exitCode === 0 ? (/restic (\S+)/.exec(result.stdout)?.[1] ?? 'unknown') : undefined;
}

/** Runs restic without its cache. Throws with its output when it fails, unless told otherwise. */
export async function runRestic(
  repository: ResticRepository,
  parameters: readonly string[],
  options: ResticOptions = {},
): Promise<ResticResult> {
  const result = await execa(resticCommand(), ['--no-cache', '--repo', repository.repo, ...parameters], {
    reject: false,
    env: { ...options.env, RESTIC_PASSWORD: repository.password },
    maxBuffer: 512 * 1024 * 1024,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.input === undefined ? {} : { input: options.input }),
  });
  const exitCode = result.exitCode ?? 1;
  if (exitCode !== 0 && !options.allowFailure) {
    throw new Error(
      `restic ${parameters.join(' ')} ended with exit code ${exitCode}:\n${result.stderr}\n${result.stdout.slice(-4000)}`,
    );
  }
  return { exitCode, stdout: result.stdout, stderr: result.stderr };
}

/** Runs restic and parses each line of its `--json` output. */
export async function runResticJson(
  repository: ResticRepository,
  parameters: readonly string[],
  options: ResticOptions = {},
): Promise<readonly unknown[]> {
  const { stdout } = await runRestic(repository, ['--json', ...parameters], options);
  const text = stdout.trim();
  if (text === '') return [];
  return text.split('\n').map((line) => JSON.parse(line) as unknown);
}

/** Throws when `restic check` finds an error, or says anything about one without failing. */
export async function expectResticCheck(
  repository: ResticRepository,
  options: { readonly readData?: boolean } = {},
): Promise<void> {
  const { stdout, stderr } = await runRestic(repository, ['check', ...(options.readData ? ['--read-data'] : [])]);
  if (!stdout.includes('no errors were found')) throw new Error(`restic check is not content:\n${stdout}\n${stderr}`);
}
