// `varve app database APP [NAME]`: shows how the databases of an app are saved, or changes it for one of them.

import { AppError } from '@varve/base';
import type { App, DatabaseChange } from '@varve/contract';
import { Option, type Command } from 'commander';
import { examples, type AddCommand } from '../../command.ts';
import { addDatabaseMethodOptions, type DatabaseMethodOptions } from '../../options/database-method-options.ts';
import { parseInput } from '../../options/parse-input.ts';
import { componentLine } from '../../output/component.ts';

interface Options extends DatabaseMethodOptions {
  readonly readThrough?: string;
}

export const addDatabaseCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('database')
    .description('show how the databases of an app are saved, or change it from the next snapshot on')
    .argument('<app>', 'id of the app')
    .argument('[name]', 'name of the database component, when there are several')
    .addHelpText(
      'after',
      examples(
        ['Show it', 'varve app database shop'],
        ['By its files and by dumps', 'varve app database shop --database-method both'],
        ['Read at most 20 MB a second', 'varve app database shop db --max-rate 20000'],
      ),
    );
  addDatabaseMethodOptions(command);
  command.addOption(
    new Option('--read-through <way>', 'how files are read: from the data folder, or sent by the server').choices([
      'auto',
      'volume',
      'stream',
    ]),
  );
  register(command, async (session) => {
    const { databaseChangeSchema } = await import('@varve/contract');
    const [appId = '', name] = command.args;
    await using varve = await session.openVarve();
    const change = changeOf(command);
    let { app } = await varve.getApp(appId);
    if (change !== undefined) {
      const component = name ?? onlyDatabase(app);
      app = await varve.updateDatabase(appId, component, parseInput(databaseChangeSchema, change));
    }
    const shown = databasesOf(app).filter((component) => name === undefined || component.name === name);
    if (shown.length === 0) throw noDatabase(app, name);
    session.print(shown, () => shown.map((component) => componentLine(component)));
  });
};

/** Undefined when no option names a change. A rate of 0 takes the limit away. */
function changeOf(command: Command): DatabaseChange | undefined {
  const { databaseMethod, maxRate, readThrough } = command.opts<Options>();
  const change = {
    ...(databaseMethod === undefined ? {} : { method: databaseMethod }),
    ...(maxRate === undefined ? {} : { maxRateKBps: maxRate === 0 ? null : maxRate }),
    ...(readThrough === undefined ? {} : { readThrough }),
  };
  return Object.keys(change).length === 0 ? undefined : (change as DatabaseChange);
}

function databasesOf(app: App) {
  return app.components.filter((component) => component.kind === 'database');
}

function onlyDatabase(app: App): string {
  const [only, ...others] = databasesOf(app);
  if (only !== undefined && others.length === 0) return only.name;
  throw noDatabase(app, undefined);
}

function noDatabase(app: App, name: string | undefined): AppError {
  const names = databasesOf(app).map((component) => component.name);
  const what = name === undefined ? 'one database to change' : `database "${name}"`;
  return new AppError('USAGE_INVALID', `The app ${app.id} has no ${what}.`, {
    hint: names.length === 0 ? 'It has no database.' : `Name one of: ${names.join(', ')}.`,
  });
}
