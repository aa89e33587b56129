// `varve timeline APP`: what an app can be brought back to.

import { AppError } from '@varve/base';
import type { TimelineQuery } from '@varve/contract';
import { examples, type AddCommand } from '../command.ts';
import { parseBackupTime } from '../options/time.ts';
import { timelineLines } from '../output/timeline.ts';

interface Options {
  readonly database?: string;
  readonly from?: string;
  readonly to?: string;
  readonly at?: string;
}

export const addTimelineCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('timeline')
    .description('show to which moments an app can be brought back, and what is missing')
    .argument('<app>', 'id of the app')
    .option('--database <name>', 'only this database')
    .option('--from <time>', 'from then on, e.g. "2026-11-23 04:05:06" in the zone of this machine, or RFC 3339')
    .option('--to <time>', 'until then')
    .option('--at <time>', 'can it be brought back to that time, and if not, to which ones around it')
    .addHelpText(
      'after',
      examples(
        ['Everything that is known', 'varve timeline shop'],
        ['Can it be brought back to that second?', 'varve timeline shop --at "2026-11-23 04:05:06"'],
      ),
    );
  register(command, async (session) => {
    const { database, from, to, at } = command.opts<Options>();
    const appId = command.args[0] ?? '';
    const query: TimelineQuery = { ...timeOption('from', from), ...timeOption('to', to), ...timeOption('at', at) };
    await using varve = await session.openVarve();
    const whole = await varve.timeline(appId, { ...query, fresh: true, signal: session.signal });
    const databases = whole.databases.filter(({ component }) => database === undefined || component === database);
    if (database !== undefined && databases.length === 0) throw noDatabase(appId, database, whole.databases);
    const timeline = { ...whole, databases };
    session.print(timeline, () => timelineLines(timeline, { now: session.now, output: session.io.out }));
    return at !== undefined && databases.every(({ nearest }) => nearest?.reachable !== true) ? notReachable : 0;
  });
};

/** As for whatever else is not there. */
const notReachable = new AppError('SNAPSHOT_NOT_FOUND', '').exitCode;

function timeOption(name: 'from' | 'to' | 'at', text: string | undefined): TimelineQuery {
  return text === undefined ? {} : { [name]: parseBackupTime(text).toISOString() };
}

function noDatabase(appId: string, name: string, known: readonly { readonly component: string }[]): AppError {
  const names = known.map(({ component }) => component).join(', ');
  return new AppError('USAGE_INVALID', `The timeline of ${appId} has no database "${name}".`, {
    hint: names === '' ? 'No database of it has been captured.' : `It has ${names}.`,
  });
}
