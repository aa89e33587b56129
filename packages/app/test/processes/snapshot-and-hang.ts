// Opens an installation, starts a snapshot, says "running" as soon as it runs, and stays until it is killed.
// Arguments: data directory, id of the app.

import { openVarve } from '../../src/index.ts';

const [dataDirectory = '', appId = ''] = process.argv.slice(2);
const varve = await openVarve({ dataDirectory });
const { id } = await varve.startSnapshot(appId, { kind: 'manual' }, 'another process');
while ((await varve.getJob(id)).job.state === 'queued') await new Promise((resolve) => setTimeout(resolve, 1));
// The event loop stands still from here on: the job can not end, and no heartbeat comes.
process.stdout.write('running\n', () => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
