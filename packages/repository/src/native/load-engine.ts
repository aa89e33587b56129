// Chooses the engine of a thread.

import { createBuiltinEngine } from './builtin-engine.ts';
import type { Engine } from './engine.ts';
import { createNativeEngine } from './native-engine.ts';

/**
 * The fastest engine that works here. Make one per thread and keep it: it holds contexts of zstd and OpenSSL.
 * `preferred: 'builtin'` leaves the native one out.
 */
export function loadEngine(options: { readonly preferred?: 'native' | 'builtin' | undefined } = {}): Engine {
  if (options.preferred === 'builtin') return createBuiltinEngine();
  return createNativeEngine() ?? createBuiltinEngine();
}
