// Entry of the `varve` program. Before anything else is loaded it turns on Node's cache of compiled modules, which halves
// the time to start, for this thread and through the environment for worker threads. The launcher has done so already; this is
// for who starts this file. The cache is beside the modules, where only who installed them can write. Then it loads the bundle
// of the program, or its sources.

import { enableCompileCache } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { findBundle } from './bundle.ts';
import type * as Program from './run-process.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');
process.env['NODE_COMPILE_CACHE'] ??= `${root}/node_modules/.cache/varve`;
enableCompileCache(process.env['NODE_COMPILE_CACHE']);
const bundle = findBundle(root);
// The bundle's first module is made of this one.
const program = bundle ? pathToFileURL(bundle).href : './run-process.ts';
const { runProcess } = (await import(program)) as typeof Program;
await runProcess();
