// A container of the lab image that just sleeps, for tests that need one, and programs of this machine beside it.

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import type { DockerLab } from '@varve/testing';

export interface LabContainer extends AsyncDisposable {
  readonly id: string;
  readonly name: string;
}

/** Starts it; `parameters` go to `docker run`, `command` replaces `sleep`. Dispose removes it with its anonymous volumes. */
export async function labContainer(
  lab: DockerLab,
  options: {
    readonly parameters?: readonly string[];
    readonly command?: readonly string[];
    readonly verb?: 'run' | 'create';
  } = {},
): Promise<LabContainer> {
  const { parameters = [], command = ['sleep', '1000'], verb = 'run' } = options;
  const name = `varve-test-${randomBytes(4).toString('hex')}`;
  const detach = verb === 'run' ? ['-d'] : [];
  const id = await lab.docker(verb, ...detach, '--name', name, '--init', ...parameters, lab.image, ...command);
  return {
    id: id.trim(),
    name,
    [Symbol.asyncDispose]: async () => {
      await lab.docker('rm', '-f', '-v', name).catch(() => {});
    },
  };
}

/** Runs a program of this machine; its standard output. Throws when it fails. */
export function runProgram(program: string, parameters: readonly string[], input?: Uint8Array): Buffer {
  const result = spawnSync(program, parameters, { input: input ?? '', maxBuffer: 64 * 1024 * 1024 });
  if (result.status !== 0) throw new Error(`${program} ended with ${result.status}: ${String(result.stderr)}`);
  return result.stdout;
}
