// `varve snapshot APP`: takes a snapshot of a whole app now.

import { Option } from 'commander';
import { examples, type AddCommand } from '../command.ts';
import { followJob } from '../follow-job.ts';
import { parseInput } from '../options/parse-input.ts';

interface Options {
  readonly kind: string;
  readonly name?: string;
  readonly description?: string;
}

export const addSnapshotCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('snapshot')
    .description('take a snapshot of an app: databases, volumes, code and configuration at one moment')
    .argument('<app>', 'id of the app')
    .addOption(new Option('--kind <kind>', 'what it is for').choices(['manual', 'pre-deploy']).default('manual'))
    .option('--name <name>', 'a short name, one line')
    .option('--description <text>', 'anything worth knowing later')
    .addHelpText(
      'after',
      examples(
        ['Now', 'varve snapshot shop'],
        ['Before a deploy, from CI', 'varve snapshot shop --kind pre-deploy --name "release 42" --json'],
      ),
    );
  register(command, async (session) => {
    const { kind, name, description } = command.opts<Options>();
    const { newSnapshotSchema } = await import('@varve/contract');
    const input = parseInput(newSnapshotSchema, { kind, name, description });
    await using varve = await session.openVarve();
    const job = await varve.startSnapshot(command.args[0] ?? '', input, 'cli');
    return await followJob(session, varve, job, (done) => `Snapshot ${done.snapshotId?.slice(0, 8) ?? ''} saved.`);
  });
};
