// `varve verify APP`: proves that a database can be recovered, by recovering it into a sandbox and looking at the data.

import { resolve } from 'node:path';
import { formatDuration } from '@varve/base';
import { verifyRequestSchema, type Job } from '@varve/contract';
import { examples, type AddCommand } from '../command.ts';
import { followJob } from '../follow-job.ts';
import { collect } from '../options/numbers.ts';
import { parseInput } from '../options/parse-input.ts';
import { addTargetOptions, momentOption, targetOf, type TargetOptions } from '../options/recovery-options.ts';
import { tableLines } from '../output/table.ts';

interface Options extends TargetOptions {
  readonly at?: string;
  readonly check?: readonly string[];
  readonly indexes: boolean;
  readonly folder?: string;
}

export const addVerifyCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('verify')
    .description('recover a database into a sandbox, check the data there, and remove the sandbox')
    .argument('<app>', 'id of the app')
    .option('--at <time>', 'the time to recover to, or latest (the default)', (text) =>
      text === 'latest' ? text : momentOption(text),
    )
    .option(
      '--check <sql>',
      'a query that passes when it yields no row or a single true (may be given several times)',
      collect,
    )
    .option('--no-indexes', 'leave out the check of every index and table (amcheck)')
    .option('--folder <path>', 'a new folder for the sandbox, where the database is on this host');
  addTargetOptions(command);
  command.addHelpText(
    'after',
    examples(
      ['The newest state', 'varve verify shop'],
      [
        'A moment, and a rule that the data must keep',
        'varve verify shop --at 2026-11-25T13:30:00Z --check "select * from orders where total < 0"',
      ],
    ),
  );
  register(command, async (session) => {
    const options = command.opts<Options>();
    const { at } = options;
    const target = targetOf({ ...options, ...(at === undefined || at === 'latest' ? {} : { to: at }) });
    const request = parseInput(verifyRequestSchema, {
      ...(target === undefined ? {} : { target }),
      ...(options.database === undefined ? {} : { component: options.database }),
      ...(options.timeline === undefined ? {} : { timeline: options.timeline }),
      ...(options.folder === undefined ? {} : { folder: resolve(session.io.cwd, options.folder) }),
      indexes: options.indexes,
      queries: (options.check ?? []).map((sql) => ({ sql })),
    });
    await using varve = await session.openVarve();
    const job = await varve.startVerify(command.args[0] ?? '', request, 'cli');
    return await followJob(session, varve, job, (done) => resultLines(done).join('\n'));
  });
};

function resultLines({ result }: Job): string[] {
  if (result?.type !== 'verify') return ['Every check passed.'];
  const rows = result.checks.map(({ name, subject, state, message, seconds }) => [
    name,
    subject,
    state,
    formatDuration(seconds * 1000),
    message,
  ]);
  return [
    ...tableLines([{ title: 'CHECK' }, { title: 'OF' }, { title: '' }, { title: 'TOOK' }, { title: 'FOUND' }], rows),
    `The database ${result.component} can be recovered. The proof took ${formatDuration(result.seconds * 1000)}.`,
  ];
}
