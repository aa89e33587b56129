// Opens an installation, and changes a file, takes a snapshot and restores it, again and again until it is killed. Says
// "running" when the first snapshot starts. Arguments: data directory, id of the app, its folder.

import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openVarve } from '../../src/index.ts';

const [dataDirectory = '', appId = '', files = ''] = process.argv.slice(2);
const varve = await openVarve({ dataDirectory, dockerHost: `unix://${dataDirectory}/no.sock` });
for (;;) {
  await writeFile(join(files, 'changing'), randomBytes(3_000_000));
  const { id } = await varve.startSnapshot(appId, { kind: 'manual' }, 'another process');
  process.stdout.write('running\n');
  const { snapshotId } = await varve.waitForJob(id);
  const request = { snapshotId: snapshotId ?? '', safetySnapshot: false };
  await writeFile(join(files, 'changing'), 'spoiled');
  const { fingerprint } = await varve.planRestore(appId, request);
  const restore = await varve.startRestore(appId, { ...request, fingerprint }, 'another process');
  await varve.waitForJob(restore.id);
}
