// Opens an installation, recovers into a sandbox, says "replaying" as soon as the server replays, and stays until it is killed.
// Arguments: data directory, id of the app.

import { recoveryRequestSchema } from '@varve/contract';
import { openVarve } from '../../src/index.ts';

const [dataDirectory = '', appId = ''] = process.argv.slice(2);
const varve = await openVarve({ dataDirectory, dockerHost: 'unix:///no.sock' });
const request = recoveryRequestSchema.parse({ target: { type: 'latest' }, destination: { type: 'sandbox' } });
const { fingerprint } = await varve.planRecovery(appId, request);
const { id } = await varve.startRecovery(appId, { ...request, fingerprint }, 'another process');
const isReplaying = async (): Promise<boolean> =>
  (await varve.getJob(id)).job.progress?.step.startsWith('replay-wal') ?? false;
while (!(await isReplaying())) await new Promise((resolve) => setTimeout(resolve, 1));
// The event loop stands still from here on: nothing is answered, and no heartbeat comes.
process.stdout.write('replaying\n', () => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
