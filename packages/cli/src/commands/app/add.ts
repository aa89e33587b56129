// `varve app add ID`: protects a Compose project by its name, or an app made of folders, a PostgreSQL and git checkouts.

import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AppError, messageOf } from '@varve/base';
import type { NewAppInput } from '@varve/contract';
import { Option, type Command } from 'commander';
import { examples, type AddCommand } from '../../command.ts';
import { collect } from '../../options/numbers.ts';
import { addDatabaseMethodOptions, type DatabaseMethodOptions } from '../../options/database-method-options.ts';
import { parseInput } from '../../options/parse-input.ts';
import { addPolicyOptions, policyFromOptions } from '../../options/policy-options.ts';
import { splitWords } from '../../options/split-words.ts';
import { componentLine } from '../../output/component.ts';
import type { Session } from '../../session.ts';

interface Options extends DatabaseMethodOptions {
  readonly id?: string;
  readonly name?: string;
  readonly without?: readonly string[];
  readonly code?: readonly string[];
  readonly wal?: boolean;
  readonly folder?: readonly string[];
  readonly configFile?: readonly string[];
  readonly database?: string;
  readonly databaseUrlFile?: string;
  readonly databaseName?: string;
  readonly databaseDirectory?: string;
  readonly databasePrograms?: string;
  readonly stopCommand?: string;
  readonly startCommand?: string;
}

const hostGroup = 'Options for an app without Docker (any of these makes it one):';

export const addAddCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('add')
    .description('protect an app: a Compose project, or folders, a PostgreSQL and git checkouts of this host')
    .argument('<app>', 'name of the Compose project, or the id of an app without Docker')
    .option('--id <id>', 'id of the app, when it is not the name of the project')
    .option('--name <name>', 'name for people')
    .option('--without <component>', 'leave out a discovered component (may be given several times)', collect)
    .option('--code <path>', 'a git checkout (may be given several times)', collect)
    .option('--wal', 'capture the log of its databases, so that they can be brought back to any second');
  addDatabaseMethodOptions(command);
  addHostOptions(command);
  addPolicyOptions(command);
  command.addHelpText(
    'after',
    examples(
      ['A Compose project', 'varve app add shop'],
      [
        'Folders and a database',
        'varve app add shop --folder /srv/shop/files --database-url-file /root/shop.url --code /srv/shop/code',
      ],
    ),
  );
  register(command, async (session) => {
    const { newAppSchema } = await import('@varve/contract');
    const input = parseInput(newAppSchema, await newApp(session, command));
    await using varve = await session.openVarve();
    const app = await varve.addApp(input);
    session.print(app, () => [
      `${app.id} is protected. This is saved of it:`,
      ...app.components.map((component) => `  ${componentLine(component)}`),
      `Take the first snapshot: varve snapshot ${app.id}`,
      'Keep the recovery kit away from this machine: varve recovery-kit',
    ]);
  });
};

function addHostOptions(command: Command): void {
  const add = (option: Option): Command => command.addOption(option.helpGroup(hostGroup));
  add(new Option('--folder <path>', 'a folder to save (may be given several times)').argParser(collect));
  add(new Option('--database <url>', 'PostgreSQL to save, without a password (VARVE_DATABASE_URL may have one)'));
  add(new Option('--database-url-file <file>', 'file with the URL of the PostgreSQL, password included'));
  add(new Option('--database-name <name>', 'name of the database component (db)'));
  add(new Option('--database-directory <path>', 'data folder of the PostgreSQL, needed to put a base backup back'));
  add(new Option('--database-programs <path>', 'folder of pg_ctl and its companions'));
  add(
    new Option('--config-file <path>', 'a configuration file to save (may be given several times)').argParser(collect),
  );
  add(new Option('--stop-command <command>', 'stops the app before a restore'));
  add(new Option('--start-command <command>', 'starts the app after a restore'));
}

async function newApp(session: Session, command: Command): Promise<NewAppInput> {
  const options = command.opts<Options>();
  const given = command.args[0] ?? '';
  const { cwd } = session.io;
  const paths = (list: readonly string[] | undefined): string[] => (list ?? []).map((path) => resolve(cwd, path));
  const policy = policyFromOptions(command, {}) ?? {};
  const databaseUrl = await databaseUrlOf(session, options);
  const isHostApp =
    options.folder || options.configFile || databaseUrl !== undefined || options.stopCommand || options.startCommand;
  if (!isHostApp) {
    return {
      type: 'docker',
      project: given,
      id: options.id,
      name: options.name,
      withoutComponents: [...(options.without ?? [])],
      code: paths(options.code),
      databaseMethod: options.databaseMethod,
      maxRateKBps: options.maxRate || undefined,
      wal: options.wal,
      policy,
    };
  }
  return {
    type: 'host',
    id: options.id ?? given,
    name: options.name,
    folders: paths(options.folder),
    code: paths(options.code),
    configFiles: paths(options.configFile),
    databases: databaseUrl === undefined ? [] : [databaseOf(options, databaseUrl, cwd)],
    stopCommand: options.stopCommand === undefined ? undefined : splitWords(options.stopCommand),
    startCommand: options.startCommand === undefined ? undefined : splitWords(options.startCommand),
    policy,
  };
}

type HostDatabase = NonNullable<Extract<NewAppInput, { type: 'host' }>['databases']>[number];

function databaseOf(options: Options, url: string, cwd: string): HostDatabase {
  return {
    url,
    name: options.databaseName,
    method: options.databaseMethod,
    maxRateKBps: options.maxRate || undefined,
    dataDirectory: options.databaseDirectory === undefined ? undefined : resolve(cwd, options.databaseDirectory),
    binDirectory: options.databasePrograms === undefined ? undefined : resolve(cwd, options.databasePrograms),
    wal: options.wal,
  };
}

/** From the option, the file or the environment. A password on the command line shows in every process list: refused. */
async function databaseUrlOf(session: Session, options: Options): Promise<string | undefined> {
  const { io } = session;
  if (options.database !== undefined) {
    if (URL.canParse(options.database) && new URL(options.database).password !== '') {
      throw new AppError('USAGE_INVALID', 'A password on the command line shows in the process list.', {
        hint: 'Give the URL with --database-url-file FILE, or in the environment as VARVE_DATABASE_URL.',
      });
    }
    return options.database;
  }
  if (options.databaseUrlFile === undefined) return io.env['VARVE_DATABASE_URL'];
  try {
    return (await readFile(resolve(io.cwd, options.databaseUrlFile), 'utf8')).trim();
  } catch (error) {
    throw new AppError('USAGE_INVALID', `The file with the database URL cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
