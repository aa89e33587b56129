// Runs an installation as the server does, to be killed: says "running" and captures. Argument: data directory.

import { openVarve } from '../../src/index.ts';

const [dataDirectory = ''] = process.argv.slice(2);
await openVarve({ dataDirectory, dockerHost: 'unix:///no.sock', runInBackground: true });
process.stdout.write('running\n');
setInterval(() => {}, 60_000);
