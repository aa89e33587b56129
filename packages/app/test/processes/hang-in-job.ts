// Runs a job that notes in the journal that it stopped a container, says "stopped", and never ends.
// Arguments: path of the catalogue, id of the app.

import { silentLogger, systemClock } from '@varve/base';
import { openCatalogue } from '../../src/catalogue/catalogue.ts';
import { JobEngine } from '../../src/jobs/job-engine.ts';
import { JobLog } from '../../src/jobs/job-log.ts';
import { JobStore } from '../../src/jobs/job-store.ts';
import { currentOwner } from '../../src/jobs/process-owner.ts';

const [path = '', appId = ''] = process.argv.slice(2);
const catalogue = openCatalogue(path);
const shared = { catalogue, clock: systemClock };
const engine = new JobEngine({
  ...shared,
  jobs: new JobStore(shared),
  log: new JobLog(shared),
  logger: silentLogger,
  owner: currentOwner(),
  endDeadJobs: () => Promise.resolve(),
});
await engine.start({ type: 'snapshot', appId, requestedBy: 'test' }, async ({ stopped }) => {
  await stopped.record([{ kind: 'container', containerId: 'c1', name: `db of ${appId}`, how: 'stopped' }]);
  process.stdout.write('stopped\n');
  return new Promise(() => {});
});
