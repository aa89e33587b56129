export { runCli, type RunOptions } from './run.ts';
export { textOutput, type Io, type TextOutput } from './io.ts';
