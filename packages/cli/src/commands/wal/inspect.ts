// `varve wal inspect FILE…`: what segments of the write-ahead log hold, and where and why it ends.

import { basename, resolve } from 'node:path';
import { AppError } from '@varve/base';
import { readWalFiles } from './wal-files.ts';
import { examples, type AddCommand } from '../../command.ts';

/** As for other results that are not whole. */
const incomplete = new AppError('RESULT_PARTIAL', '').exitCode;

export const addInspectCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('inspect')
    .description('show what WAL segments and history files hold: range, commits, restore points, settings, gaps, end')
    .argument('<file...>', 'segments (000000010000000000000001, .partial too) and history files (00000002.history)')
    .addHelpText(
      'after',
      examples(
        ['One segment', 'varve wal inspect /var/lib/postgresql/data/pg_wal/000000010000000000000042'],
        ['All that an archive holds', 'varve wal inspect /srv/archive/0000*'],
      ),
    )
    .addHelpText('after', `\nExit code ${incomplete} when there is a gap or damage.`);
  register(command, async (session) => {
    const { summarizeWal } = await import('@varve/postgres');
    const { hasDamage, walReportJson, walReportLines } = await import('../../output/wal-report.ts');
    const paths = command.args.map((path) => resolve(session.io.cwd, path));
    const files = await readWalFiles(paths, session.signal);
    const summary = await summarizeWal(files.segments, { histories: files.histories, signal: session.signal });
    const report = { ...summary, histories: files.histories, leftOut: files.leftOut.map((path) => basename(path)) };
    session.print(walReportJson(report), () => walReportLines(report));
    return hasDamage(report) ? incomplete : 0;
  });
};
