// Entry of the `varve` program. Before anything else is loaded it turns on Node's cache of compiled modules, which halves
// the time to start, for this thread and through the environment for worker threads. The launcher has done so already; this is
// for who starts this file. The cache is beside the modules, where only who installed them can write.

import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('../../../node_modules/.cache/varve', import.meta.url));
enableCompileCache(process.env['NODE_COMPILE_CACHE']);
const { runProcess } = await import('./run-process.ts');
await runProcess();
