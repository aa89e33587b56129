// `varve check`: checks the repository of this installation and names the files that damage has reached.

import { formatBytes } from '@varve/base';
import type { Job } from '@varve/contract';
import { examples, type AddCommand } from '../command.ts';
import { followJob } from '../follow-job.ts';
import { counted } from '../output/text.ts';

export const addCheckCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('check')
    .description('check the repository of this installation; the job lists what damage has reached')
    .option('--read-data', 'read and verify all data too, which may take hours')
    .addHelpText('after', examples(['The structure', 'varve check'], ['Every byte', 'varve check --read-data']));
  register(command, async (session) => {
    const { readData = false } = command.opts<{ readData?: boolean }>();
    await using varve = await session.openVarve();
    const job = await varve.startCheck({ readData }, 'cli');
    return await followJob(session, varve, job, doneLine);
  });
};

function doneLine({ result }: Job): string {
  if (result?.type !== 'check') return 'The repository is sound.';
  const { snapshots, packs, bytesRead } = result;
  const read = bytesRead > 0 ? `, ${formatBytes(bytesRead)} of data read` : '';
  return `The repository is sound: ${counted(snapshots, 'snapshot')}, ${counted(packs, 'pack')}${read}.`;
}
