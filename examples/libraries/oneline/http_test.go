package oneline

import (
	"context"
	"io"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/gofiber/fiber/v3"
	"github.com/labstack/echo/v5"
	"github.com/valyala/fasthttp"
)

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }

func serveNetHTTP(_ context.Context, ln net.Listener) error {
	handler := http.HandlerFunc(hello)
	return http.Serve(ln, handler)
}

func serveChi(_ context.Context, ln net.Listener) error {
	r := chi.NewRouter()
	r.Get("/", hello)
	return http.Serve(ln, r)
}

func serveGin(_ context.Context, ln net.Listener) error {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.GET("/", func(c *gin.Context) { c.String(http.StatusOK, "hello") })
	return r.RunListener(ln)
}

func serveEcho(ctx context.Context, ln net.Listener) error {
	e := echo.New()
	e.GET("/", func(c *echo.Context) error { return c.String(http.StatusOK, "hello") })
	return echo.StartConfig{Listener: ln}.Start(ctx, e)
}

func serveFiber(_ context.Context, ln net.Listener) error {
	app := fiber.New()
	app.Get("/", func(c fiber.Ctx) error { return c.SendString("hello") })
	return app.Listener(ln)
}

func serveFasthttp(_ context.Context, ln net.Listener) error {
	handler := func(ctx *fasthttp.RequestCtx) { ctx.WriteString("hello") }
	return fasthttp.Serve(ln, handler)
}
