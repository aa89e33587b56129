// `varve repo migrate`: brings a whole repository to a newer format.

import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '@varve/base';
import type { Migration } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import {
  addLockOptions,
  addRepositoryOptions,
  openLockedRepository,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import { repositoryProgress } from '../../output/repository-progress.ts';
import type { Session } from '../../session.ts';

export const addMigrateCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('migrate')
    .description('bring a repository to a newer format; without a name, list what can be applied')
    .argument('[name...]', 'migrations to apply')
    .addHelpText(
      'after',
      examples(
        ['What can be applied', 'varve repo migrate'],
        ['From format 1 to format 2; everything stays readable', 'varve repo migrate upgrade_repo_v2'],
      ),
    );
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { listMigrations, migrateRepository } = await import('@varve/repository');
    const options = command.opts<LockCommandOptions>();
    await using opened = await openLockedRepository(session, options, { exclusive: true });
    const { repository, signal } = opened;
    const all = listMigrations(repository);
    if (command.args.length === 0) {
      list(session, all);
      return;
    }
    const chosen = command.args.map((name) => find(all, name));
    for (const { name, obstacle } of chosen) {
      if (obstacle === null) {
        const backupFolder = await mkdtemp(join(tmpdir(), 'varve-migrate-'));
        using progress = repositoryProgress(session, 'check');
        try {
          await migrateRepository(repository, name, { backupFolder, signal, onProgress: progress.onProgress });
        } finally {
          // It stays when the copy of the config is still in it: then something went wrong half-way.
          await rmdir(backupFolder).catch(() => {});
        }
      }
      session.print({ name, applied: obstacle === null, obstacle }, () => [
        obstacle === null ? `migration ${name}: success` : `migration ${name} is not needed: ${obstacle}`,
      ]);
    }
  });
};

function list(session: Session, all: readonly Migration[]): void {
  const possible = all.filter(({ obstacle }) => obstacle === null);
  session.print(
    possible.map(({ name, description }) => ({ name, description })),
    () =>
      possible.length === 0
        ? ['no migrations found']
        : ['available migrations:', ...possible.map(({ name, description }) => `  ${name}\t${description}`)],
  );
}

function find(all: readonly Migration[], name: string): Migration {
  const migration = all.find((candidate) => candidate.name === name);
  if (migration) return migration;
  throw new AppError('USAGE_INVALID', `There is no migration “${name}”.`, {
    hint: `There are: ${all.map((candidate) => candidate.name).join(', ')}.`,
  });
}
