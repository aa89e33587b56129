// Entry of the `varve` program. Before anything else is loaded it turns on Node's cache of compiled modules, which halves
// the time to start. The cache is beside the modules, where only who installed them can write.

import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

enableCompileCache(fileURLToPath(new URL('../../../node_modules/.cache/varve', import.meta.url)));
const { runProcess } = await import('./run-process.ts');
await runProcess();
