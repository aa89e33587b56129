// The tree of commands. Every command has the common options, and its faults of usage become USAGE_INVALID.

import { AppError } from '@varve/base';
import { Command, Option, type CommanderError } from 'commander';
import { addAlertsCommand } from './commands/alerts.ts';
import { addAppCommands } from './commands/app/index.ts';
import { addCheckCommand } from './commands/check.ts';
import { addConnectCommand } from './commands/connect.ts';
import { addDemoCommand } from './commands/demo.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addDownloadCommand } from './commands/download.ts';
import { addForgetCommand } from './commands/forget.ts';
import { addJobsCommand } from './commands/jobs.ts';
import { addLsCommand } from './commands/ls.ts';
import { addPointCommand } from './commands/point.ts';
import { addPruneCommand } from './commands/prune.ts';
import { addRecoveryKitCommand } from './commands/recovery-kit.ts';
import { addRepoCommands } from './commands/repo/index.ts';
import { addRestoreCommand } from './commands/restore.ts';
import { addSandboxCommands } from './commands/sandbox/index.ts';
import { addServerCommand } from './commands/server.ts';
import { addSettingsCommands } from './commands/settings/index.ts';
import { addSnapshotCommand } from './commands/snapshot.ts';
import { addSnapshotsCommand } from './commands/snapshots.ts';
import { addTimelineCommand } from './commands/timeline.ts';
import { addVerifyCommand } from './commands/verify.ts';
import { addWalCommands } from './commands/wal/index.ts';
import { addNamed, type AddCommand, type Register } from './command.ts';
import type { Io } from './io.ts';
import { readVersion } from './version.ts';
import { Session, type CommonOptions } from './session.ts';

const description = 'Varve takes any Docker app back to any second.';

/** In the order of the help. */
const commands: Readonly<Record<string, AddCommand>> = {
  server: addServerCommand,
  demo: addDemoCommand,
  doctor: addDoctorCommand,
  app: addAppCommands,
  snapshot: addSnapshotCommand,
  snapshots: addSnapshotsCommand,
  ls: addLsCommand,
  download: addDownloadCommand,
  timeline: addTimelineCommand,
  point: addPointCommand,
  restore: addRestoreCommand,
  sandbox: addSandboxCommands,
  verify: addVerifyCommand,
  forget: addForgetCommand,
  prune: addPruneCommand,
  check: addCheckCommand,
  jobs: addJobsCommand,
  alerts: addAlertsCommand,
  settings: addSettingsCommands,
  connect: addConnectCommand,
  'recovery-kit': addRecoveryKitCommand,
  repo: addRepoCommands,
  wal: addWalCommands,
};

/** Builds the program, as far as `argv` needs it. `onResult` gets the exit code of the command that ran. */
export function buildProgram(options: {
  argv: readonly string[];
  io: Io;
  signal: AbortSignal;
  onResult: (exitCode: number) => void;
}): Command {
  const { argv, io, signal, onResult } = options;
  const program = new Command('varve')
    .description(description)
    .version(readVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out.write(text),
      writeErr: (text) => io.err.write(text),
      // Errors are reported in one place, with their code.
      outputError: () => {},
      getOutHelpWidth: () => Math.min(io.out.columns, 110),
      getErrHelpWidth: () => Math.min(io.err.columns, 110),
      getOutHasColors: () => io.out.colors,
      getErrHasColors: () => io.err.colors,
    });
  addCommonOptions(program);

  const register: Register = (command, action) => {
    addCommonOptions(command);
    command.action(async () => {
      const session = new Session({ io, signal, common: command.optsWithGlobals<CommonOptions>() });
      onResult((await action(session, command)) ?? 0);
    });
  };
  addNamed(program, register, { words: argv, commands });
  program.addHelpText('after', '\nExit codes and error codes: docs/errors.md. Commands in detail: docs/cli.md.');
  return program;
}

/** How parsing ended when it did not run a command: an exit code for help and version, an error for wrong usage. */
export function outcomeOf(error: CommanderError): number | AppError {
  if (error.exitCode === 0) return 0;
  // A group without a command: its help is already on stderr.
  if (error.code === 'commander.help') return new AppError('USAGE_INVALID', '').exitCode;
  const [message = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const suggestion = rest
    .join(' ')
    .trim()
    .replace(/^\((.*)\)$/, '$1');
  const hint = suggestion === '' ? 'Add --help to see what the command understands.' : suggestion;
  return new AppError('USAGE_INVALID', message, { hint });
}

function addCommonOptions(command: Command): void {
  command
    .addOption(
      new Option('--data <dir>', 'data directory of this installation (VARVE_DATA)').helpGroup('Common options:'),
    )
    .addOption(new Option('--json', 'write the result as JSON').helpGroup('Common options:'))
    .addOption(new Option('-q, --quiet', 'no progress, only results and errors').helpGroup('Common options:'))
    .addOption(
      new Option('-v, --verbose', 'say more about what is done; twice for still more')
        .preset('1')
        .argParser((_, times?: number) => (times ?? 0) + 1)
        .helpGroup('Common options:'),
    );
}
