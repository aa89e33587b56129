// What the repairs have in common: they lock the repository for themselves unless they only look.

import { AppError } from '@varve/base';
import type { Command } from 'commander';
import {
  addLockOptions,
  addRepositoryOptions,
  openLockedRepository,
  type LockCommandOptions,
  type LockedRepository,
} from '../../../options/repository-options.ts';
import type { Session } from '../../../session.ts';

export interface RepairOptions extends LockCommandOptions {
  readonly dryRun?: boolean;
}

/** Adds `--dry-run` and the options of a repository. */
export function addRepairOptions(command: Command): void {
  command.option('-n, --dry-run', 'only say what would be done');
  addRepositoryOptions(command);
  addLockOptions(command);
}

/** Opens the repository under an exclusive lock, or a shared one for a dry run. */
export async function openForRepair(session: Session, options: RepairOptions): Promise<LockedRepository> {
  const isDryRun = options.dryRun ?? false;
  if (!options.lock && !isDryRun) {
    throw new AppError('USAGE_INVALID', 'A repair needs the repository for itself: --no-lock is for --dry-run only.');
  }
  return openLockedRepository(session, options, { exclusive: !isDryRun });
}
