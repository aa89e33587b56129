// Opens an installation, begins a proof, says "looking" as soon as the recovered database is asked a question that takes an hour,
// and stays until it is killed. Arguments: data directory, id of the app.

import { verifyRequestSchema } from '@varve/contract';
import { openVarve } from '../../src/index.ts';

const [dataDirectory = '', appId = ''] = process.argv.slice(2);
const varve = await openVarve({ dataDirectory, dockerHost: 'unix:///no.sock' });
const request = verifyRequestSchema.parse({ indexes: false, queries: [{ sql: 'select pg_sleep(3600)' }] });
const { id } = await varve.startVerify(appId, request, 'another process');
const isAsking = async (): Promise<boolean> => (await varve.getJob(id)).job.progress?.step === 'verify:query';
while (!(await isAsking())) await new Promise((resolve) => setTimeout(resolve, 1));
// The event loop stands still from here on: nothing is answered, and no heartbeat comes.
process.stdout.write('looking\n', () => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
