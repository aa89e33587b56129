// Options that name a second repository, the one to copy from, as restic's `--from-…` do.

import { Option, type Command } from 'commander';
import type { RepositoryOptions } from './repository-options.ts';

interface SourceOptions {
  readonly fromRepo?: string;
  readonly fromRepositoryFile?: string;
  readonly fromPasswordFile?: string;
  readonly fromPasswordCommand?: string;
}

const group = 'Options of the repository to copy from:';

/** Adds `--from-repo`, `--from-repository-file`, `--from-password-file` and `--from-password-command`. */
export function addSourceOptions(command: Command): void {
  const add = (option: Option): Command => command.addOption(option.helpGroup(group));
  add(new Option('--from-repo <location>', 'its location (VARVE_FROM_REPOSITORY, RESTIC_FROM_REPOSITORY)'));
  add(
    new Option(
      '--from-repository-file <file>',
      'file with its location (VARVE_FROM_REPOSITORY_FILE, RESTIC_FROM_REPOSITORY_FILE)',
    ),
  );
  add(
    new Option(
      '--from-password-file <file>',
      'file with its password (VARVE_FROM_PASSWORD_FILE, RESTIC_FROM_PASSWORD_FILE)',
    ),
  );
  add(new Option('--from-password-command <command>', 'command that prints it (RESTIC_FROM_PASSWORD_COMMAND)'));
}

/** What they say, as options of a repository. */
export function sourceOptions(command: Command): RepositoryOptions {
  const { fromRepo, fromRepositoryFile, fromPasswordFile, fromPasswordCommand } = command.opts<SourceOptions>();
  return {
    ...(fromRepo === undefined ? {} : { repo: fromRepo }),
    ...(fromRepositoryFile === undefined ? {} : { repositoryFile: fromRepositoryFile }),
    ...(fromPasswordFile === undefined ? {} : { passwordFile: fromPasswordFile }),
    ...(fromPasswordCommand === undefined ? {} : { passwordCommand: fromPasswordCommand }),
  };
}
