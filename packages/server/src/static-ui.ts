// The built UI: files as they are, index.html for every page that the UI routes itself. Files with a hash in their name
// are cached for good. Nothing outside the folder is ever served.

import { readFile } from 'node:fs/promises';
import { extname, join, normalize, sep } from 'node:path';
import { systemErrorCode } from '@varve/base';
import type { Context } from 'hono';
import type { Api, ServerContext, ServerEnv } from './context.ts';
import { notFoundHandler } from './middleware/errors.ts';

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
  '.map': 'application/json',
};

const notBuiltPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Varve</title></head>
<body><h1>The pages of Varve were not built</h1>
<p>The server runs, but its user interface is missing. Build it, then reload this page:</p>
<pre>npm run build:web</pre></body></html>
`;

export function addStaticUi(api: Api, context: ServerContext): void {
  api.get('*', async (c) => {
    if (c.req.path.startsWith('/api/') || c.req.path === '/api') return notFoundHandler(c);
    const path = filePath(context.webRoot, c.req.path);
    const file = path === undefined ? undefined : await readUiFile(path);
    if (path !== undefined && file !== undefined) return serveFile(c, path, file);
    // A missing file is an error; a missing page is one of the UI's own.
    if (extname(c.req.path) !== '') return notFoundHandler(c);
    const indexPath = join(context.webRoot, 'index.html');
    const index = await readUiFile(indexPath);
    return index === undefined ? c.html(notBuiltPage, 503) : serveFile(c, indexPath, index);
  });
}

function serveFile(c: Context<ServerEnv>, path: string, file: Uint8Array<ArrayBuffer>): Response {
  const isHashed = path.includes(`${sep}assets${sep}`);
  c.header('Content-Type', contentTypes[extname(path)] ?? 'application/octet-stream');
  c.header('Cache-Control', isHashed ? 'public, max-age=31536000, immutable' : 'no-cache');
  return c.body(file, 200);
}

/** The file that a URL path names inside the root; undefined when the path is malformed or leads outside. */
function filePath(root: string, urlPath: string): string | undefined {
  let decoded: string;
  try {
    decoded = decodeURIComponent(urlPath);
  } catch {
    return undefined;
  }
  if (decoded.includes('\0')) return undefined;
  const path = normalize(join(root, decoded));
  return path.startsWith(normalize(root + sep)) && !path.endsWith(sep) ? path : undefined;
}

async function readUiFile(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG'].includes(systemErrorCode(error) ?? '')) return undefined;
    throw error;
  }
}
