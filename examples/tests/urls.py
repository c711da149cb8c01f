"""The views of a Django project for test_django.py."""

from django.contrib.auth import login, logout, views
from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.urls import path


def whoami(request):
    return HttpResponse(request.user.get_username())


def put_in_cart(request):
    request.session["cart"] = request.session.get("cart", 0) + 1
    return HttpResponse(request.session["cart"])


def create_group_and_fail(request):
    Group.objects.create(name="half done")
    raise RuntimeError("the view fails")


def log_in_and_fail(request):
    login(request, User.objects.get(username="alice"))
    raise RuntimeError("the view fails")


def log_out_and_fail(request):
    logout(request)
    raise RuntimeError("the view fails")


def change_password_and_fail(request):
    request.user.set_password("new")
    request.user.save()
    raise RuntimeError("the view fails")


urlpatterns = [
    path("", whoami),
    path("longpolling/poll", whoami),
    path("longpolling/poll?orders", whoami),
    path("cart", put_in_cart),
    path("create_group_and_fail", create_group_and_fail),
    path("log_in", views.LoginView.as_view()),
    path("log_in_and_fail", log_in_and_fail),
    path("log_out", views.LogoutView.as_view()),
    path("log_out_and_fail", log_out_and_fail),
    path("password", views.PasswordChangeView.as_view(success_url="/")),
    path("change_password_and_fail", change_password_and_fail),
]
