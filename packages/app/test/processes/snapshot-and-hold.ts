// Opens an installation and starts a snapshot of an app whose stop command does not end, says "locked" as soon as the snapshot
// holds its lock, and stays until it is killed. Arguments: data directory, id of the app.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openVarve } from '../../src/index.ts';

const [dataDirectory = '', appId = ''] = process.argv.slice(2);
const varve = await openVarve({ dataDirectory, dockerHost: `unix://${dataDirectory}/no.sock` });
const { id } = await varve.startSnapshot(appId, { kind: 'manual' }, 'another process');
for (;;) {
  const locks = await readdir(join(dataDirectory, 'repository', 'locks'));
  const { job } = await varve.getJob(id);
  if (job.finishedAt !== null) throw new Error(`the snapshot ended: ${JSON.stringify(job.error)}`);
  if (locks.length > 0 && job.progress?.step === 'run-stop-command') break;
  await new Promise((resolve) => setTimeout(resolve, 5));
}
process.stdout.write('locked\n');
