// Starts the page: providers around the router.

import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { ApiProblem } from './api/client.ts';
import { AppearanceProvider } from './app/appearance.tsx';
import { router } from './app/router.tsx';
import { LocaleProvider } from './i18n/locale.tsx';
import './style.css';

const client: QueryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // Only what may be better in a moment is tried again; a refusal is shown at once.
      retry: (failures, error) =>
        failures < 2 && error instanceof ApiProblem && (error.status === 0 || error.status === 503),
    },
  },
});

/** A session that has ended shows the sign-in page, wherever that was noticed. */
function noticeSignedOut(error: unknown): void {
  if (error instanceof ApiProblem && error.code === 'AUTH_REQUIRED') {
    void client.invalidateQueries({ queryKey: ['session'] });
  }
}

client.getQueryCache().subscribe((event) => {
  if (event.type === 'updated' && event.action.type === 'error') noticeSignedOut(event.action.error);
});
client.getMutationCache().subscribe((event) => {
  if (event.type === 'updated' && event.action.type === 'error') noticeSignedOut(event.action.error);
});

const element = document.getElementById('root');
if (element === null) throw new Error('index.html has no #root');
createRoot(element).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <LocaleProvider>
        <AppearanceProvider>
          <RouterProvider router={router} />
        </AppearanceProvider>
      </LocaleProvider>
    </QueryClientProvider>
  </StrictMode>,
);
